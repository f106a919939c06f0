import type { Input } from "../subject.ts";

/** What is given to `istio-iptables`. */
export interface IptablesInput extends Input {
  /** The words of each call; most inputs have one. They follow each other in one namespace. */
  readonly calls: readonly (readonly string[])[];
  readonly env?: Readonly<Record<string, string>>;
  /** Addresses of the only interface beside `lo`. Default: `10.3.3.3/24`. */
  readonly addresses?: readonly string[];
  /** Servers of resolv.conf. Default: `10.96.0.10`. */
  readonly servers?: readonly string[];
  /** Users beside root. */
  readonly users?: Readonly<Record<string, number>>;
  /** Whether what the kernel has afterwards is compared: the calls are no dry runs. */
  readonly isReal?: boolean;
}

/** What the injector gives to every sidecar. */
export const SIDECAR: readonly string[] = [
  ...["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", ""],
  ...["-b", "*", "-d", "15090,15021,15020"],
];
