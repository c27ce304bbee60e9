-- One flat row a result, with its age.
CREATE VIEW gbench_results AS
SELECT
  id,
  run_time,
  julianday('now') - julianday(run_time) AS age_days,
  stored_at, run_id, md5, configuration, model, framework, dataset, device, dev_num, batch_size, precision, eval_mode,
  dist_mode, recipe, throughput, low, high, throughput_unit, steady_state, driver, software, hardware, code_link, tags,
  visible
FROM gbench_runs
