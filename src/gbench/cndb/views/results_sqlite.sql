-- As on PostgreSQL. What doesn't depend on a row is joined: in WHERE, SQLite would ask it for each row.
CREATE VIEW gbench_results AS
SELECT
  id,
  run_time,
  julianday('now') - julianday(run_time) AS age_days,
  stored_at, run_id, md5, configuration, model, framework, dataset, device, dev_num, batch_size, precision, eval_mode,
  dist_mode, recipe, throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, tags,
  visible
FROM (
  SELECT s.*
  FROM (SELECT 1 FROM sqlite_master WHERE name = 'gbench_insert' AND tbl_name = 'train_results') kept
  CROSS JOIN gbench_summary s
  UNION ALL
  SELECT c.*
  FROM (
    SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'gbench_insert' AND tbl_name = 'train_results')
  ) missing
  CROSS JOIN gbench_computed c
)
