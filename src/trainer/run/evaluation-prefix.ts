/** @file What names of metrics begin with that evaluations have measured; read by the page too. */
export const EVALUATED = 'eval/';
