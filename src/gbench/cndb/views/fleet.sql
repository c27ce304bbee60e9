-- Which devices ran under which driver, and how fast, as a share of the mean of each result's configuration: figures of
-- different models and batch sizes have no mean of their own.
CREATE VIEW gbench_fleet AS
SELECT
  device,
  driver,
  count(*) AS results,
  count(DISTINCT configuration) AS configurations,
  count(DISTINCT hardware) AS hardware_names,
  avg(relative) AS relative_throughput,
  min(run_time) AS first_run,
  max(run_time) AS latest_run
FROM (
  SELECT r.*, figure / avg(figure) OVER (PARTITION BY configuration, device) AS relative
  FROM (
    SELECT device, driver, configuration, hardware, run_time, CASE WHEN throughput > 0 THEN throughput END AS figure
    FROM gbench_results
    ORDER BY configuration, device
  ) r
) s
GROUP BY device, driver
