"""A client of Clarity's online service: httpx and the standard library, nothing else.

from clarity.client import Client

with Client() as client:  # CLARITY_API_URL, CLARITY_API_KEY
    patient = client.create_patient(name="…", external_id="A17")
    print(client.predict(Path("capture.jpg"), patient=patient.id, eye="left").grade)
"""

from clarity.client.client import Client
from clarity.client.transport import Patience

__all__ = ["Client", "Patience"]
