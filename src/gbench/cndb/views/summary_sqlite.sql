-- What gbench_computed finds, kept: to unpack the documents of all rows takes seconds.
CREATE TABLE IF NOT EXISTS gbench_summary (
  id INTEGER PRIMARY KEY,
  run_time,
  stored_at DATETIME,
  run_id TEXT,
  md5 TEXT,
  configuration,
  model TEXT,
  framework TEXT,
  dataset TEXT,
  device TEXT,
  dev_num INTEGER,
  batch_size INTEGER,
  precision TEXT,
  eval_mode TEXT,
  dist_mode TEXT,
  recipe TEXT,
  throughput REAL,
  low REAL,
  high REAL,
  throughput_unit TEXT,
  steady_state INTEGER,
  driver TEXT,
  software TEXT,
  hardware TEXT,
  code_link TEXT,
  tags TEXT,
  visible BOOLEAN,
  machine TEXT,
  host_name TEXT,
  first_rule INTEGER
)

-- SQLite has no hash of a text: the key of a configuration is its number here.
CREATE TABLE IF NOT EXISTS gbench_configurations (id INTEGER PRIMARY KEY, configuration TEXT UNIQUE)

DROP TRIGGER IF EXISTS gbench_number

CREATE TRIGGER gbench_number AFTER INSERT ON gbench_summary BEGIN
  INSERT INTO gbench_configurations (configuration)
  SELECT NEW.configuration
  WHERE NOT EXISTS (SELECT 1 FROM gbench_configurations WHERE configuration = NEW.configuration);
  UPDATE gbench_summary
  SET configuration = (SELECT id FROM gbench_configurations WHERE configuration = NEW.configuration)
  WHERE id = NEW.id;
END

DROP TRIGGER IF EXISTS gbench_insert

CREATE TRIGGER gbench_insert AFTER INSERT ON train_results BEGIN
  DELETE FROM gbench_summary WHERE id = NEW.id;
  INSERT INTO gbench_summary SELECT * FROM gbench_computed WHERE id = NEW.id;
END

DROP TRIGGER IF EXISTS gbench_update

CREATE TRIGGER gbench_update AFTER UPDATE ON train_results BEGIN
  DELETE FROM gbench_summary WHERE id IN (OLD.id, NEW.id);
  INSERT INTO gbench_summary SELECT * FROM gbench_computed WHERE id = NEW.id;
END

DROP TRIGGER IF EXISTS gbench_delete

CREATE TRIGGER gbench_delete AFTER DELETE ON train_results BEGIN
  DELETE FROM gbench_summary WHERE id = OLD.id;
END

DROP TRIGGER IF EXISTS gbench_model

CREATE TRIGGER gbench_model AFTER UPDATE OF name ON models BEGIN
  DELETE FROM gbench_summary WHERE id IN (SELECT id FROM train_results WHERE model_id = NEW.id);
  INSERT INTO gbench_summary
  SELECT * FROM gbench_computed WHERE id IN (SELECT id FROM train_results WHERE model_id = NEW.id);
END

DROP TRIGGER IF EXISTS gbench_software

CREATE TRIGGER gbench_software AFTER UPDATE OF name ON software_infos BEGIN
  UPDATE gbench_summary SET software = NEW.name
  WHERE id IN (SELECT id FROM train_results WHERE soft_info_id = NEW.id);
END

DROP TRIGGER IF EXISTS gbench_hardware

CREATE TRIGGER gbench_hardware AFTER UPDATE OF name ON hardware_infos BEGIN
  UPDATE gbench_summary SET hardware = NEW.name
  WHERE id IN (SELECT id FROM train_results WHERE hard_info_id = NEW.id);
END

DELETE FROM gbench_summary

INSERT INTO gbench_summary SELECT * FROM gbench_computed

DROP VIEW IF EXISTS gbench_runs

-- As on PostgreSQL. What doesn't depend on a row is joined: in WHERE, SQLite would ask it for each row.
CREATE VIEW gbench_runs AS
SELECT s.*
FROM (SELECT 1 FROM sqlite_master WHERE name = 'gbench_insert' AND tbl_name = 'train_results') kept
CROSS JOIN gbench_summary s
UNION ALL
SELECT c.*
FROM (
  SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'gbench_insert' AND tbl_name = 'train_results')
) missing
CROSS JOIN gbench_computed c
