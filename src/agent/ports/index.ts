export { checkWantedPort, choosePorts, portThatWasTaken } from "./choose-ports.ts";
export { freePortsFor, portDefaults } from "./free-ports.ts";
export { describePorts, type PlannedPort, statusPortTaken, tryPorts } from "./port-map.ts";
export { warnOfSharedPorts } from "./shared-ports.ts";
