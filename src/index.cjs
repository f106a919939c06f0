// What `require("pilotboat")` gives; it is copied to dist/ as it is. The library is made of ES modules, which Node 20 before
// 20.19 cannot require: the first call loads them.

let loaded;

async function load() {
  loaded ??= await import("./index.js");
  return loaded;
}

exports.startSidecar = async (options) => (await load()).startSidecar(options);

exports.startControlPlane = async (options) => (await load()).startControlPlane(options);

/** For `instanceof`: before the first call there is no error of this class. */
exports.AgentError = {
  [Symbol.hasInstance]: (error) => loaded !== undefined && error instanceof loaded.AgentError,
};
