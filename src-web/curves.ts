/** @file Which curves the chart of a node has. */

export interface Curve {
  /** The metric's name in a training event. */
  readonly metric: string;
  readonly label: string;
  readonly tooltip: string;
  /** Seen well on light and on dark ground. */
  readonly colour: string;
  /** The distance is much smaller than the losses, so it has an axis of its own. */
  readonly axis: 'left' | 'right';
}

/** By node class; a node without an entry has no chart. */
export const CURVES: Readonly<Record<string, readonly Curve[]>> = {
  FlowstepDistill: [
    {
      metric: 'loss/student',
      label: 'generator',
      tooltip: 'loss of the student; about 0 when lambda1 is 0',
      colour: '#e8843c',
      axis: 'left',
    },
    {
      metric: 'loss/online',
      label: 'online',
      tooltip: 'loss of the online flow',
      colour: '#4a90e2',
      axis: 'left',
    },
    {
      metric: 'distance/student',
      label: '|u − v|²',
      tooltip: 'distance to the teacher, right axis: falls as the student comes close',
      colour: '#2fa86c',
      axis: 'right',
    },
  ],
  FlowstepTrainTeacher: [
    {
      metric: 'loss/teacher',
      label: 'loss',
      tooltip: 'flow matching loss of the teacher',
      colour: '#4a90e2',
      axis: 'left',
    },
  ],
};
