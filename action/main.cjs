// Finds the plimsoll program, checks it, starts it, and forwards signals. Nothing else happens here:
// inputs are read by the program.
"use strict";

const { spawn } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

// Written when a release is made: its version, and the SHA-256 of its program for each platform.
const release = require("./release.json");

const platform = `${process.platform}-${process.arch}`;
const asset = `plimsoll-${platform}`;
const repository = process.env.GITHUB_ACTION_REPOSITORY || "plimsoll-build/plimsoll";

async function main() {
  const again = process.env.STATE_started === "true";
  if (!again) fs.appendFileSync(process.env.GITHUB_STATE, "started=true\n");
  // The runner sends SIGINT, and 7.5 seconds later SIGTERM; the program has the last word. One that
  // comes before the program is there ends the shim.
  let child;
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => (child ? child.kill(signal) : process.exit(1)));
  }
  const program = await find();
  child = spawn(program, again ? ["action", "--post"] : ["action"], { stdio: "inherit" });
  child.on("error", (error) => fail(`can't start ${program}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exitCode = signal ? 128 + require("node:os").constants.signals[signal] : code;
  });
}

// A path that the workflow names, the tool cache, the file beside this one, or the release.
async function find() {
  const named = (process.env.INPUT_BINARY || "").trim();
  if (named) return path.resolve(named);
  const expected = release.sha256[platform];
  if (!expected) {
    throw new Error(
      `this commit of the action has no program for ${platform}: use a release of the action, ` +
        "or name a program with the input `binary`",
    );
  }
  const tools = process.env.RUNNER_TOOL_CACHE;
  const cached = tools && path.join(tools, "plimsoll", release.version, process.arch, "plimsoll");
  for (const file of [cached, path.join(__dirname, "..", "bin", asset)]) {
    if (file && fs.existsSync(file)) {
      check(fs.readFileSync(file), expected, file);
      return executable(file);
    }
  }
  return store(await download(expected), cached);
}

async function download(expected) {
  const server = process.env.GITHUB_SERVER_URL || "https://github.com";
  const url = `${server}/${repository}/releases/download/v${release.version}/${asset}`;
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(120_000) });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const bytes = Buffer.from(await response.arrayBuffer());
      check(bytes, expected, url);
      return bytes;
    } catch (error) {
      if (attempt === 3 || error.name === "ChecksumError") {
        throw new Error(`${url}: ${error.message}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 1000 * attempt));
    }
  }
}

function check(bytes, expected, place) {
  const found = createHash("sha256").update(bytes).digest("hex");
  if (found !== expected) {
    const error = new Error(`${place} has the SHA-256 ${found}, but the release has ${expected}`);
    error.name = "ChecksumError";
    throw error;
  }
}

function store(bytes, cached) {
  const file = cached || path.join(process.env.RUNNER_TEMP || "/tmp", asset);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  // Another job may do the same: a file appears whole or not at all.
  const partial = `${file}.${process.pid}`;
  fs.writeFileSync(partial, bytes, { mode: 0o755 });
  fs.renameSync(partial, file);
  return file;
}

function executable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
  } catch {
    fs.chmodSync(file, 0o755); // Git on some runners drops the mode.
  }
  return file;
}

function fail(message) {
  process.stdout.write(`::error title=plimsoll::${message.replace(/%/g, "%25").replace(/\r?\n/g, "%0A")}\n`);
  process.exitCode = 1;
}

main().catch((error) => fail(error.message));
