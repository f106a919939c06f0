// Bun can call the C library; Node cannot, and has no call of its own that makes a pipe.

/** Both ends of a new pipe: the reading one does not block, neither outlives an exec. Rejects where that fails. */
export async function pipeOfLibc(): Promise<{ readonly reading: number; readonly writing: number }> {
  const { dlopen, ptr } = await import("bun:ffi").catch((error: unknown) => {
    throw new Error("this runtime cannot call the C library", { cause: error });
  });
  const { symbols } = dlopen("libc.so.6", { pipe2: { args: ["ptr", "int"], returns: "int" } });
  const ends = new Int32Array(2);
  if (symbols.pipe2(ptr(ends), O_CLOEXEC | O_NONBLOCK) !== 0) throw new Error("pipe2 failed");
  const [reading = -1, writing = -1] = ends;
  return { reading, writing };
}

// Linux on x86-64 and arm64, include/uapi/asm-generic/fcntl.h
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
