import { describeError } from "../../base/index.ts";
import { type GoMap, GoNil, GoStruct, type GoValue, goKind, goTypeName } from "../go-value.ts";
import { assigned, type GoFunction, isTrue, nilFor, type TemplateFunctions } from "./functions.ts";
import { type Command, type NumberNode, type Operand, type Pipe, show } from "./nodes.ts";
import { TemplateError } from "./template-error.ts";

/** No value comes from the stage before. */
const NOTHING = Symbol("nothing");
type Final = GoValue | typeof NOTHING;

/** What is in sight where a pipeline stands: its variables, the newest last. */
export interface Variable {
  readonly name: string;
  value: GoValue;
}

/** Evaluates pipelines. Source: Go text/template (exec.go). */
export class Evaluator {
  readonly variables: Variable[] = [];
  private readonly functions: TemplateFunctions;
  private line = 1;

  constructor(functions: TemplateFunctions) {
    this.functions = functions;
  }

  fail(message: string, cause?: unknown): never {
    throw new TemplateError(message, this.line, { cause });
  }

  at(line: number): void {
    this.line = line;
  }

  /** The value of a pipeline, which its variables have from now on. */
  pipeline(dot: GoValue, { line, commands, variables, isAssign }: Pipe): GoValue {
    this.line = line;
    let value: Final = NOTHING;
    for (const command of commands) value = this.command(dot, command, value) ?? undefined;
    for (const name of variables) {
      if (isAssign) this.assign(name, value);
      else this.variables.push({ name, value });
    }
    return value;
  }

  assign(name: string, value: GoValue): void {
    const variable = this.variables.findLast((one) => one.name === name);
    if (variable === undefined) this.fail(`undefined variable: ${name}`);
    variable.value = value;
  }

  private command(dot: GoValue, { words }: Command, final: Final): GoValue {
    const [first, ...rest] = words;
    const hasArguments = rest.length > 0 || final !== NOTHING;
    switch (first.kind) {
      case "function":
        return this.call(dot, first.name, rest, final);
      case "field":
        return this.fields(dot, first.names, hasArguments);
      case "variable":
        if (first.names.length > 0) return this.fields(this.variable(first.name), first.names, hasArguments);
        break;
      case "chain":
        return this.chain(dot, first, hasArguments);
      case "nil":
        return this.fail("nil is not a command");
    }
    if (hasArguments) this.fail(`can't give argument to non-function ${show(first)}`);
    return this.operand(dot, first);
  }

  /** The value of an operand that is no function with arguments. */
  private operand(dot: GoValue, node: Operand): GoValue {
    switch (node.kind) {
      case "dot":
        return dot;
      case "nil":
        return null;
      case "bool":
      case "string":
        return node.value;
      case "number":
        return this.constant(node);
      case "field":
        return this.fields(dot, node.names, false);
      case "variable":
        return this.fields(this.variable(node.name), node.names, false);
      case "chain":
        return this.chain(dot, node, false);
      case "function":
        return this.call(dot, node.name, [], NOTHING);
      case "pipeline":
        return this.pipeline(dot, node);
    }
  }

  /** A number where nothing says what it is to be: a float with a point or an exponent, else an int. */
  private constant({ text, int, float }: NumberNode): GoValue {
    const isFloat = !text.startsWith("'") && (/^[+-]?0x/i.test(text) ? /p/i : /[.ep]/i).test(text);
    if (isFloat || int === undefined) return float;
    return BigInt.asIntN(64, int) === int ? int : this.fail(`${text} overflows int`);
  }

  private variable(name: string): GoValue {
    const variable = this.variables.findLast((one) => one.name === name);
    return variable === undefined ? this.fail(`undefined variable: ${name}`) : variable.value;
  }

  private chain(dot: GoValue, node: Extract<Operand, { kind: "chain" }>, hasArguments: boolean): GoValue {
    if (node.of.kind === "nil") this.fail(`indirection through explicit nil in ${show(node)}`);
    return this.fields(this.operand(dot, node.of), node.names, hasArguments);
  }

  private fields(receiver: GoValue, names: readonly string[], hasArguments: boolean): GoValue {
    let value = receiver;
    let type = goTypeName(receiver);
    for (const [at, name] of names.entries()) {
      const from = goTypeName(value);
      value = this.field(value, type, name, hasArguments && at === names.length - 1);
      type = from === "map[string]interface {}" ? "interface {}" : goTypeName(value);
    }
    return value;
  }

  /** A field of `receiver`; `type` is where the receiver stands: that of a map's elements, for example. */
  private field(receiver: GoValue, type: string, name: string, hasArguments: boolean): GoValue {
    if (receiver === undefined) return undefined;
    if (receiver === null) return this.fail(`nil pointer evaluating interface {}.${name}`);
    if (receiver instanceof GoNil) {
      const methods = receiver.methods();
      if (Object.hasOwn(methods, name) && name.startsWith("Get")) return methods[name];
      return this.fail(`nil pointer evaluating ${receiver.typeName}.${name}`);
    }
    if (receiver instanceof GoStruct && Object.hasOwn(receiver.fields, name)) {
      if (hasArguments) this.fail(`${name} has arguments but cannot be invoked as function`);
      return receiver.fields[name];
    }
    if (goKind(receiver) === "map") {
      if (hasArguments) this.fail(`${name} is not a method but has arguments`);
      const map = receiver as GoMap;
      return Object.hasOwn(map, name) ? map[name] : undefined;
    }
    if (name === "String" && goKind(receiver) === "int" && typeof receiver === "object") return String(receiver);
    return this.fail(`can't evaluate field ${name} in type ${type}`);
  }

  private call(dot: GoValue, name: string, words: readonly Operand[], final: Final): GoValue {
    const fn = this.functions[name];
    if (fn === undefined) return this.fail(`"${name}" is not a defined function`);
    this.checkCount(name, fn, words.length, final !== NOTHING);
    if (name === "and" || name === "or") return this.shortCircuit(dot, name, words, final);
    const paramAt = (at: number) => fn.params[at] ?? fn.rest;
    const values = words.map((word, at) => this.argument(dot, word, paramAt(at)));
    if (final !== NOTHING) values.push(this.fitted(final, paramAt(words.length)));
    if (name === "call") values.unshift(words[0] === undefined ? "" : show(words[0]));
    try {
      return fn.call(...(values as never[]));
    } catch (error) {
      return this.fail(`error calling ${name}: ${describeError(error)}`, error);
    }
  }

  private checkCount(name: string, { params, rest }: GoFunction, words: number, hasFinal: boolean): void {
    const count = words + (hasFinal ? 1 : 0);
    if (rest !== undefined && count < params.length) {
      this.fail(`wrong number of args for ${name}: want at least ${params.length} got ${words}`);
    }
    if (rest === undefined && count !== params.length) {
      this.fail(`wrong number of args for ${name}: want ${params.length} got ${count}`);
    }
  }

  /** What stands behind the one that decides is not evaluated. */
  private shortCircuit(dot: GoValue, name: "and" | "or", words: readonly Operand[], final: Final): GoValue {
    let value: GoValue;
    for (const word of words) {
      value = this.operand(dot, word);
      if (isTrue(value) === (name === "or")) return value;
    }
    return final === NOTHING ? value : final;
  }

  /** A constant fits by what it could be, everything else by its type. */
  private argument(dot: GoValue, word: Operand, param: GoFunction["rest"]): GoValue {
    if (param === undefined) return this.operand(dot, word);
    const isOpen = param.type === "interface {}" || param.type === "reflect.Value";
    if (word.kind === "nil") return param.hasNil ? nilFor(param) : this.fail(`cannot assign nil to ${param.type}`);
    const isConstant = word.kind === "bool" || word.kind === "string" || word.kind === "number";
    if (!isConstant || isOpen) return this.fitted(this.operand(dot, word), param);
    if (word.kind === "number" && INTEGERS.has(param.type) && word.int !== undefined) return word.int;
    if (word.kind === "number" && param.type === "float64" && word.float !== undefined) return word.float;
    if (word.kind === param.type && word.kind !== "number") return word.value;
    if (INTEGERS.has(param.type)) return this.fail(`expected integer; found ${show(word)}`);
    const expected = { string: "string", bool: "bool", float64: "float" }[param.type];
    if (expected === undefined) return this.fail(`can't handle ${show(word)} for arg of type ${param.type}`);
    return this.fail(`expected ${expected}; found ${show(word)}`);
  }

  private fitted(value: GoValue, param: GoFunction["rest"]): GoValue {
    if (param === undefined) return value;
    try {
      return assigned(value, param);
    } catch (error) {
      return this.fail(describeError(error), error);
    }
  }
}

const INTEGERS = new Set(["int", "int64"]);
