/** @file The model card written beside a model file (YAML front matter as on model hubs, then what trained it). */
import { sampleShape } from '../nn/config.ts';
import type { ModelInfo } from './model.ts';

export interface CardFacts {
  readonly parameters: number;
  readonly bytes: number;
  readonly sha256: string;
}

export function modelCard(info: ModelInfo, facts: CardFacts): string {
  const rows: readonly (readonly [string, string | number | boolean])[] = [
    ['role', info.role],
    ['network', JSON.stringify(info.network)],
    ['sample shape', `[${sampleShape(info.network).join(', ')}]`],
    ['parameters', facts.parameters],
    ['weights in the file', `${(facts.bytes / 1e6).toFixed(2)} MB`],
    ['sha256 of the file', facts.sha256],
    ['data set', `${info.dataset.name} (sha256 ${info.dataset.hash})`],
    ...(info.student
      ? [
          [
            'one step',
            `x0 = z' - ${info.student.tStar} v(z', ${info.student.tStar}), z' = ${info.student.cIn} z`,
          ] as const,
        ]
      : []),
    ...Object.entries(info.training),
  ];
  return `---
library_name: flowstep
tags: [flow-matching, ${info.role === 'student' ? 'one-step, flow-generator-matching' : info.role}]
datasets: [${info.dataset.name}]
---
# ${info.role} on ${info.dataset.name}

| | |
|---|---|
${rows.map(([name, value]) => `| ${name} | ${String(value).replaceAll('|', '\\|')} |`).join('\n')}
`;
}
