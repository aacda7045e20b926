"""Which model is promoted, why, and since when: MLflow's model registry, the gate, the ledger of promotions."""
