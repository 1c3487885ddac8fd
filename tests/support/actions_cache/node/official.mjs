// The official client's part of tests/actions_cache/official.rs: one step of a job, as named by the
// first argument, on files in the working directory. Prints one line of JSON.

import dns from "node:dns";
import { saveCache, restoreCache } from "@actions/cache";

// The store's host as on GitHub, without which the client reads in one go: it is on this machine.
const lookup = dns.lookup;
dns.lookup = (host, options, callback) =>
  lookup(host.endsWith(".blob.core.windows.net") ? "127.0.0.1" : host, options, callback);

const [step, key, ...restoreKeys] = process.argv.slice(2);
const steps = {
  save: async () => ({ id: await saveCache(["kept"], key) }),
  restore: async () => ({ key: await restoreCache(["kept"], key, restoreKeys) }),
};
console.log(`\nresult ${JSON.stringify(await steps[step]())}`);
