"""The statements that draw years of nights inside PostgreSQL, for ``years``: all follows from a row's number."""

CAPTURES = """
CREATE UNLOGGED TABLE drawn AS
SELECT v, n, encode(sha256((v * 4 + n)::text::bytea), 'hex') AS sha, 1 + v % {patients} AS patient,
  night, date '2024-01-01' + night AS day,
  to_char(timestamp '2024-01-01' + night * interval '1 day', 'YYYYMMDD"T020000Z-"') || 'a1b2c3' AS run,
  v >= {visits} - {waiting} AS waits,
  -- of the visit, by its number: 73 % nothing, 7 % mild, 15 % moderate, 3 % severe, 2 % proliferative
  CASE WHEN h < 730 THEN 0 WHEN h < 800 THEN 1 WHEN h < 950 THEN 2 WHEN h < 980 THEN 3 ELSE 4 END AS severity,
  CASE WHEN v >= {visits} - {waiting} THEN 'registered' WHEN k < 50 THEN 'ungradable'
       WHEN k < 52 THEN 'quarantined' ELSE 'scored' END AS state,
  h, k, 0.3 + 0.7 * ((k * 7) % 1000) / 1000.0 AS quality
FROM (
  SELECT v, n, (v * {nights} / {visits})::int AS night, (v * 7919) % 1000 AS h, (v * 4 + n) * 104729 % 1000 AS k
  FROM generate_series(0::bigint, {visits} - 1) AS v, generate_series(0, 3) AS n
) AS numbers
"""

ROWS = (
    """
INSERT INTO patients (external_id, created_at)
SELECT 'P' || substr(md5(p::text), 1, 12) || p, timestamptz '2024-01-01' FROM generate_series(1, {patients}) AS p
""",
    """
INSERT INTO screening_runs (id, started_at, finished_at, model, model_version, fingerprint, status, counts)
SELECT DISTINCT run, day + interval '2 hours', day + interval '2 hours 20 minutes', {model},
  CASE WHEN night < {nights} * 0.9 THEN {old} ELSE {new} END, {fingerprint}, 'completed',
  '{{"scored": 18900, "grades": {{"0": 13900, "1": 1300, "2": 2850, "3": 500, "4": 350}}}}'::jsonb
FROM drawn
""",
    """
INSERT INTO scans (sha256, patient_id, key, eye, field, visit, captured_at, camera, state, reasons, recapture, quality,
  registered_by, settled_by, registered_at, state_at)
SELECT sha, patient, 'captures/' || substr(sha, 1, 2) || '/' || sha || '.jpg',
  CASE n % 2 WHEN 0 THEN 'left' ELSE 'right' END, CASE n / 2 WHEN 0 THEN 'macula' ELSE 'disc' END,
  day::text, day + interval '10 hours', 'Topcon TRC-NW400', state,
  CASE WHEN state = 'ungradable' THEN '["blurred"]' WHEN state = 'quarantined' THEN '["cannot be decoded"]'
       ELSE '[]' END::jsonb,
  state = 'ungradable', CASE WHEN state IN ('scored', 'ungradable') THEN quality END,
  run, CASE WHEN waits THEN NULL ELSE run END, day + interval '1 day', day + interval '1 day 2 hours'
FROM drawn ORDER BY v, n
""",
    """
INSERT INTO inbox_objects (key, etag, sha256, at)
SELECT 'inbox/clinic-' || v % 50 || '/' || day || '/IMG_' || v * 4 + n || '.jpg', substr(sha, 1, 32), sha,
  day + interval '1 day' FROM drawn ORDER BY v, n
""",
    """
INSERT INTO predictions (sha256, model, model_version, fingerprint, grade, probabilities, confidence, referable,
  referable_probability, vision_threatening, vision_threatening_probability, review_reasons, energy, precision,
  heatmap_key, run_id, created_at)
SELECT sha, {model}, version, {fingerprint}, g, ARRAY[0.1, 0.2, 0.3, 0.25, 0.15] , 0.5 + k / 2000.0, g >= 2,
  least(0.99, g / 4.0 + k / 10000.0), g >= 3, least(0.99, g / 5.0 + k / 10000.0),
  CASE WHEN k >= 950 THEN '["referable probability 0.41, within 0.05 of the threshold"]' ELSE '[]' END::jsonb,
  -8.0 + k / 500.0, 'int8', 'heatmaps/' || {model} || '-' || version || '/' || sha || '.png', run,
  day + interval '1 day 2 hours'
FROM (
  SELECT *, greatest(severity - n % 2, 0) AS g FROM drawn, unnest(ARRAY[{old}, {new}]) AS version
  WHERE state = 'scored'
    AND CASE version WHEN {new} THEN night >= {nights} * 0.85 ELSE night < {nights} * 0.9 END
) AS said ORDER BY v, n, version
""",
    """
INSERT INTO outcomes (patient_id, visit, model, model_version, result, reasons, policy, action, due_on, priority,
  worst_grade, left_grade, right_grade, superseded, reviewed_at, run_id, created_at, updated_at)
SELECT patient, day::text, {model}, version,
  (ARRAY['refer', 'refer', 'review', 'incomplete', 'no referral'])[urgency + 1],
  jsonb_build_array('left eye: grade ' || severity || ', as read', 'right eye: grade ' || greatest(severity - 1, 0)),
  'ada 2024.1', 'Ophthalmologist within the time that the grade asks for', day + 30 * (1 + severity), urgency,
  severity, severity, greatest(severity - 1, 0), version = {old} AND night >= {nights} * 0.85,
  CASE WHEN urgency < 4 AND (h + v) % 100 < CASE WHEN night < {nights} - 10 THEN 95 ELSE 40 END
       THEN day + interval '2 days' END,
  run, day + interval '1 day 2 hours', day + interval '1 day 2 hours'
FROM (
  SELECT *, CASE WHEN severity >= 3 THEN 0 WHEN severity = 2 THEN 1 WHEN h % 20 = 0 THEN 2 WHEN h % 33 = 0 THEN 3
    ELSE 4 END AS urgency
  FROM drawn, unnest(ARRAY[{old}, {new}]) AS version
  WHERE n = 0 AND NOT waits
    AND CASE version WHEN {new} THEN night >= {nights} * 0.85 ELSE night < {nights} * 0.9 END
) AS joined ORDER BY v, version
""",
    """
INSERT INTO reviews (sha256, model, model_version, decision, reviewer, at)
SELECT sha, {model}, {new}, 'agree', 'reader-' || v % 12, day + interval '2 days' FROM drawn
WHERE n = 0 AND state = 'scored' AND severity >= 2 AND h % 2 = 0
""",
    """
INSERT INTO quarantine (key, etag, sha256, kind, reason, at, run_id, resolved_at)
SELECT 'inbox/clinic-' || v % 50 || '/' || day || '/IMG_' || v * 4 + n || '.jpg', substr(sha, 1, 32), sha,
  'photograph', 'photograph: 412 bytes, not an image that can be decoded', day + interval '1 day', run,
  CASE WHEN night < {nights} - 10 THEN day + interval '3 days' END
FROM drawn WHERE state = 'quarantined'
""",
)
