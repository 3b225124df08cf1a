-- What wrk has found, as a line of JSON.
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('{"ops":%.0f,"elapsed_ns":%.0f,"p99_ns":%.0f,"errors":%.0f}\n',
    summary.requests, summary.duration * 1e3, latency:percentile(99) * 1e3, failed))
end
