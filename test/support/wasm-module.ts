/**
 * A Wasm module for Envoy (proxy-wasm ABI 0.2.1) that adds one header to each response. Written byte by byte, so that no
 * compiler is needed. Sources: WebAssembly specification, "Binary Format"; proxy-wasm/spec abi-versions/v0.2.1.
 */
export function headerModule(header: string, value: string): Buffer {
  const i32 = 0x7f;
  const types = [
    type([i32, i32, i32, i32, i32], [i32]), // 0: proxy_add_header_map_value
    type([], []), // 1: the version of the ABI
    type([i32], [i32]), // 2: memory for what Envoy hands over
    type([i32, i32], []), // 3: a context begins
    type([i32, i32], [i32]), // 4: start, configure
    type([i32, i32, i32], [i32]), // 5: headers of a response
  ];
  const add = [...text("env"), ...text("proxy_add_header_map_value"), 0x00, 0];
  const functions = [1, 2, 3, 4, 4, 5]; // their types; numbers from 1 on, behind the imported one
  const names = [
    "proxy_abi_version_0_2_1",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_response_headers",
  ];
  const exported = names.map((name, at) => [...text(name), 0x00, at + 1]);
  const RESPONSE_HEADERS = 2;
  const [headerAt, valueAt, heapAt] = [16, 16 + header.length, 4_096];
  const constant = (number: number): number[] => [0x41, ...signed(number)];
  const arguments_ = [RESPONSE_HEADERS, headerAt, header.length, valueAt, value.length].flatMap(constant);
  const bodies = [[], constant(heapAt), [], constant(1), constant(1), [...arguments_, 0x10, 0, 0x1a, ...constant(0)]];
  return Buffer.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, [add]),
    ...section(
      3,
      functions.map((one) => [one]),
    ),
    ...section(5, [[0x00, 1]]),
    ...section(7, [[...text("memory"), 0x02, 0], ...exported]),
    ...section(
      10,
      bodies.map((body) => sized([0x00, ...body, 0x0b])),
    ),
    ...section(11, [[0x00, ...constant(headerAt), 0x0b, ...text(header + value)]]),
  ]);
}

function type(parameters: readonly number[], results: readonly number[]): number[] {
  return [0x60, parameters.length, ...parameters, results.length, ...results];
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return [id, ...sized([...unsigned(entries.length), ...entries.flat()])];
}

function text(value: string): number[] {
  return sized([...Buffer.from(value)]);
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function unsigned(number: number): number[] {
  return number < 0x80 ? [number] : [(number & 0x7f) | 0x80, ...unsigned(number >>> 7)];
}

/** Signed LEB128 of a number that is not negative. */
function signed(number: number): number[] {
  return number < 0x40 ? [number] : [(number & 0x7f) | 0x80, ...signed(number >>> 7)];
}
