-- Each result that has a throughput, beside the one of the same configuration that ran before it. To sort whole rows is
-- sooner than to join them to the window, as on SQLite.
CREATE VIEW gbench_trend AS
SELECT t.*, t.throughput / t.previous_throughput - 1 AS change_share
FROM (
  SELECT r.*, lag(id) OVER w AS previous_id, lag(throughput) OVER w AS previous_throughput
  FROM gbench_results r
  WHERE throughput > 0
  WINDOW w AS (PARTITION BY configuration, model, device, precision ORDER BY run_time, id)
) t
