// Builds the component of least_used.js: `npm install @bytecodealliance/componentize-js` (0.23 was tried, with Node 20) in a folder that
// Node finds from here, then `node build.mjs OUT.wasm`. The component holds a whole JavaScript engine, some 12 MB, so it is not
// committed, and the configuration must say limits = { component_bytes_max = 16777216 }.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { componentize } from "@bytecodealliance/componentize-js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { component, imports } = await componentize(await readFile(here("least_used.js"), "utf8"), {
  witPath: here("../../wit/v0_1"),
  worldName: "assigner-plugin",
  // A plugin imports nothing: without these the engine asks for none of WASI.
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
if (imports.length > 0) {
  throw new Error(`the component imports ${imports.join(", ")}, and plugins may import nothing`);
}
await writeFile(process.argv[2], component);
