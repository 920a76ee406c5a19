/** @file Every node of the product, in the order in which hosts list them. */
import { datasetNode } from './dataset.ts';
import { distillNode } from './distill.ts';
import { evaluateNode } from './evaluate.ts';
import { loadModelNode } from './load-model.ts';
import { lossPlotNode } from './loss-plot.ts';
import { oneStepSamplerNode } from './one-step-sampler.ts';
import { onlineFlowNode } from './online-flow.ts';
import { pictureGridNode } from './picture-grid.ts';
import { promptSetNode } from './prompt-set.ts';
import { createRegistry, type NodeRegistry } from './registry.ts';
import { saveImageNode } from './save-image.ts';
import { saveModelNode } from './save-model.ts';
import { teacherSamplerNode } from './teacher-sampler.ts';
import { trainTeacherNode } from './train-teacher.ts';

/** The registry of the product's nodes. */
export function allNodes(): NodeRegistry {
  return createRegistry([
    loadModelNode,
    oneStepSamplerNode,
    teacherSamplerNode,
    datasetNode,
    trainTeacherNode,
    promptSetNode,
    onlineFlowNode,
    distillNode,
    lossPlotNode,
    evaluateNode,
    pictureGridNode,
    saveModelNode,
    saveImageNode,
  ]);
}
