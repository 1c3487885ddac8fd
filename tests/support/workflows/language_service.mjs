// Reads workflows and action.yml as GitHub's editor does, and says what is wrong with them.
//
//     node language_service.mjs ACTION_YML FILE...
//
// Steps that use this project's action have their inputs held against ACTION_YML.
import { readFileSync } from "node:fs";
import { register } from "node:module";
import { parse } from "yaml";

// Its packages import JSON without the attribute that Node wants.
const hook = `
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    return found.url.endsWith(".json") ? { ...found, importAttributes: { type: "json" } } : found;
  }`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
const { validate } = await import("@actions/languageservice");
const { TextDocument } = await import("vscode-languageserver-textdocument");

const ACTION = "plimsoll-build/plimsoll";
const [action, ...files] = process.argv.slice(2);
const metadata = parse(readFileSync(action, "utf8"));
const actionsMetadataProvider = {
  // Of the actions of others nothing is known here: no inputs, nothing to hold against.
  fetchActionMetadata: async ({ owner, name }) =>
    `${owner}/${name}` === ACTION ? metadata : {},
};

for (const file of files) {
  // `./` is the action too.
  const text = readFileSync(file, "utf8").replaceAll(/uses: \.\/(?=\s)/g, `uses: ${ACTION}@here`);
  const document = TextDocument.create(`file://${file}`, "yaml", 0, text);
  for (const { range, message } of await validate(document, { actionsMetadataProvider })) {
    console.log(`${file}:${range.start.line + 1}:${range.start.character + 1}: ${message}`);
    process.exitCode = 1;
  }
}
