/** Where a question goes, and where it comes from. */
export interface Destination {
  /** As it is written in a URL, without brackets. */
  readonly host: string;
  /** The address or name that is dialled. */
  readonly address: string;
  /** Own address of the connection; undefined leaves it to the kernel, as does an address that the kernel cannot use. */
  readonly source: string | undefined;
}
