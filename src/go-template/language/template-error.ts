/** What is wrong with a template, or with what it does; the line counts from 1. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  readonly line: number;

  constructor(message: string, line: number, options?: ErrorOptions) {
    super(message, options);
    this.line = line;
  }
}
