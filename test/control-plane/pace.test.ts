import { expect, test } from "vitest";
import { Pace } from "../../src/control-plane/ads/pace.ts";

test("a caller without room gets answers, and of the pushes only the latest once there is room", async () => {
  const [sent, room]: [string[], (() => void)[]] = [[], []];
  const pace = new Pace<string>((response) => {
    sent.push(response);
    return new Promise((resolve) => room.push(resolve));
  });
  const push = (name: string): void => pace.push(() => pace.send(name));
  push("first");
  for (const name of ["second", "third"]) push(name);
  pace.send("answer");
  const isRoom = pace.room;
  expect(sent).toEqual(["first", "answer"]);
  room[0]?.(); // there is none for what came after
  await Promise.resolve();
  push("fourth");
  expect(sent).toEqual(["first", "answer"]);
  room[1]?.();
  await isRoom;
  expect(sent).toEqual(["first", "answer", "fourth"]);
});

test("a caller with room is sent everything at once, and asked to wait for nothing", () => {
  const sent: string[] = [];
  const pace = new Pace<string>((response) => void sent.push(response));
  for (const name of ["a", "b"]) pace.push(() => pace.send(name));
  expect([sent, pace.room]).toEqual([["a", "b"], undefined]);
});
