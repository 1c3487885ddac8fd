// Writes GitHub's description of its REST API, cut down to what the program calls, for Prism.
//
//     node trim.mjs FILE
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const CALLED = [
  "/user",
  "/repos/{owner}/{repo}/check-runs",
  "/repos/{owner}/{repo}/commits/{commit_sha}/pulls",
  "/repos/{owner}/{repo}/commits/{ref}",
  "/repos/{owner}/{repo}/issues/comments/{comment_id}",
  "/repos/{owner}/{repo}/issues/{issue_number}/comments",
  "/repos/{owner}/{repo}/issues/{issue_number}/labels",
  "/repos/{owner}/{repo}/pulls",
];

const whole = createRequire(import.meta.url)("@octokit/openapi/generated/api.github.com.json");
const trimmed = { openapi: whole.openapi, info: whole.info, paths: {}, components: {} };
for (const path of CALLED) {
  trimmed.paths[path] = whole.paths[path];
  if (!trimmed.paths[path]) throw new Error(`GitHub has no ${path}`);
}
// GraphQL is no part of it; a question there is let through.
const data = { "application/json": { schema: { type: "object", required: ["data"] } } };
const question = { "application/json": { schema: { type: "object", required: ["query"] } } };
trimmed.paths["/graphql"] = {
  post: {
    requestBody: { required: true, content: question },
    responses: { 200: { description: "What was asked for", content: data } },
  },
};
keep(trimmed.paths);
writeFileSync(process.argv[2], JSON.stringify(trimmed));

// Takes along what is referred to, and what that refers to.
function keep(node) {
  if (node === null || typeof node !== "object") return;
  if (typeof node.$ref === "string") {
    const [, , kind, name] = node.$ref.split("/");
    const kept = (trimmed.components[kind] ??= {});
    if (!(name in kept)) {
      kept[name] = whole.components[kind][name];
      keep(kept[name]);
    }
  }
  Object.values(node).forEach(keep);
}
