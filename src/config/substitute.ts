/**
 * Replaces `$NAME` and `${NAME}` by the variables of that name, an unset one by nothing; everything else stays as it
 * is, and a value is never looked at again. That is what GNU envsubst does; why it is not a library here:
 * docs/decisions/0002-environment-substitution.md.
 */
export function substitute(text: string, env: Readonly<Record<string, string | undefined>>): string {
  return text.replace(
    /\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))/g,
    (_reference, braced?: string, bare?: string) => {
      const name = braced ?? bare ?? "";
      return Object.hasOwn(env, name) ? (env[name] ?? "") : "";
    },
  );
}
