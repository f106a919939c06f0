export { checkWantedPort, choosePorts, portThatWasTaken } from "./choose-ports.ts";
export { chooseFreePorts } from "./free-ports.ts";
export { describePorts, statusPortTaken, tryEnvoyPorts } from "./port-map.ts";
export { warnOfSharedPorts } from "./shared-ports.ts";
