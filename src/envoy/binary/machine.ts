import { closeSync, openSync, readdirSync, readSync } from "node:fs";

/** `e_machine` of an ELF header by Node's name of the processor. Source: the System V ABI's register of machines. */
const ELF_MACHINES: Readonly<Record<string, number>> = {
  x64: 62,
  arm64: 183,
  arm: 40,
  ia32: 3,
  riscv64: 243,
  s390x: 22,
};
const MACH_O = new Set(["cffaedfe", "cafebabe"]);
const HEADER_BYTES = 20;

/**
 * Why this machine cannot run the file, or undefined. Asked before it is tried, because what the kernel refuses is handed
 * to a shell by programs such as `setpriv`, which then complains of the shell's syntax.
 */
export function whyNotRunnable(path: string): string | undefined {
  const header = readHeader(path);
  if (header === undefined) return undefined;
  if (header.subarray(0, 2).toString("latin1") === "#!") return undefined;
  if (process.platform === "darwin") {
    return MACH_O.has(header.subarray(0, 4).toString("hex")) ? undefined : "not an executable for this platform";
  }
  if (header.length < HEADER_BYTES || header.subarray(0, 4).toString("latin1") !== "\x7fELF")
    return "not an executable for this platform";
  const machine = header[5] === 2 ? header.readUInt16BE(18) : header.readUInt16LE(18);
  if (machine === ELF_MACHINES[process.arch] || !(process.arch in ELF_MACHINES)) return undefined;
  if (hasEmulator()) return undefined;
  const built = Object.keys(ELF_MACHINES).find((name) => ELF_MACHINES[name] === machine) ?? `machine ${machine}`;
  return `it is built for ${built}, this machine is ${process.arch}`;
}

/** Undefined for a program that may be run and not be read. */
function readHeader(path: string): Buffer | undefined {
  try {
    const file = openSync(path, "r");
    try {
      const header = Buffer.alloc(HEADER_BYTES);
      return header.subarray(0, readSync(file, header, 0, HEADER_BYTES, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

/** The kernel knows a program that runs foreign ones (binfmt_misc). */
function hasEmulator(): boolean {
  try {
    return readdirSync("/proc/sys/fs/binfmt_misc").some((name) => /qemu|rosetta|fex|box64/i.test(name));
  } catch {
    return false;
  }
}
