// Builds the component of least_used.js: `npm install @bytecodealliance/componentize-js`, then `node build.mjs OUT.wasm` with the package
// on the way to its modules. The component holds a whole JavaScript engine, some 12 MB, so it is not committed, and its limits must say
// component_bytes_max = 16777216.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { componentize } from "@bytecodealliance/componentize-js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { component } = await componentize(await readFile(here("least_used.js"), "utf8"), {
  witPath: here("../../wit/v0_1"),
  worldName: "assigner-plugin",
  // A plugin imports nothing.
  disableFeatures: ["random", "stdio", "clocks", "http", "fetch-event"],
});
await writeFile(process.argv[2], component);
