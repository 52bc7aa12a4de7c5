import { expect } from 'vitest';
import { type ProblemCode, problems, titleOf } from '../../shared/errors.ts';
import type { Answered } from './http.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** That an answer is a refusal of ours and whole: status, code and title agree, its request id is one, nothing else is in it. */
export function expectProblem(
  answer: Answered,
  code?: ProblemCode,
): { detail: string; errors?: { pointer: string }[] } {
  expect(answer.status, answer.body.slice(0, 300)).toBeGreaterThanOrEqual(400);
  expect(answer.status, answer.body.slice(0, 300)).toBeLessThan(500);
  expect(answer.headers).toMatchObject({
    'content-type': 'application/problem+json',
    'edgewire-request-id': expect.stringMatching(uuid),
    'cache-control': 'no-store',
  });
  const { errors, ...problem } = JSON.parse(answer.body);
  expect(Object.keys(problems)).toContain(problem.code);
  expect(problem).toEqual({
    type: `urn:edgewire:problem:${problem.code}`,
    title: titleOf(problem.code),
    status: answer.status,
    detail: expect.stringMatching(/^[\x20-\x7e]{8,600}$/),
    code: code ?? problem.code,
    requestId: answer.headers['edgewire-request-id'],
  });
  expect(problems[problem.code as ProblemCode].status).toBe(answer.status);
  if (errors === undefined) return problem;
  for (const fault of errors) {
    expect(fault).toEqual({
      pointer: expect.stringMatching(/^(\/.*)?$/su),
      detail: expect.stringMatching(/^[\x20-\x7e]+$/),
    });
  }
  return { ...problem, errors };
}
