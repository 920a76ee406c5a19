/* libcudnn: every plan is there, and is counted when it is carried out. Signatures after cudnn_graph.h of cuDNN 9. */
#include "card.h"

#include <string.h>

size_t cudnnGetVersion(void) { return 92800; }
size_t cudnnGetCudartVersion(void) { return 13000; }
const char *cudnnGetErrorString(int status) { return status ? "failure" : "success"; }
void cudnnGetLastErrorString(char *out, size_t size) {
  if (size) *out = 0;
}
int cudnnCreate(void **out) { return *out = HANDLE, SUCCESS; }
SILENT(cudnnDestroy)
SILENT(cudnnSetStream)
int cudnnGetStream(void *handle, void **out) {
  (void)handle;
  return *out = HANDLE, SUCCESS;
}

/* Plans of convolutions and attention. */
int cudnnBackendCreateDescriptor(int type, void **out) {
  (void)type;
  return *out = HANDLE, SUCCESS;
}
SILENT(cudnnBackendDestroyDescriptor)
SILENT(cudnnBackendFinalize)
SILENT(cudnnBackendSetAttribute)
/* cudnnBackendAttributeType_t. */
enum { HANDLES = 0, WHOLE_NUMBERS = 3, DOUBLES = 5, POINTERS = 6, NUMERICAL_NOTES = 11, DESCRIPTORS = 15, BEHAVIOUR_NOTES = 19 };
/* One of everything, 0, but for notes: an engine has none that somebody could refuse. */
int cudnnBackendGetAttribute(void *descriptor, int name, int type, int64_t room, int64_t *count, void *out) {
  (void)descriptor, (void)name;
  int found = type != NUMERICAL_NOTES && type != BEHAVIOUR_NOTES;
  if (count) *count = found;
  if (!found || room < 1 || !out || type == DESCRIPTORS) return SUCCESS;
  int is_wide = type == HANDLES || type == WHOLE_NUMBERS || type == DOUBLES || type == POINTERS;
  memset(out, 0, is_wide ? 8 : 4);
  return SUCCESS;
}
COUNTED(cudnnBackendExecute)

/* Sums over axes. */
int cudnnCreateTensorDescriptor(void **out) { return *out = HANDLE, SUCCESS; }
int cudnnCreateReduceTensorDescriptor(void **out) { return *out = HANDLE, SUCCESS; }
SILENT(cudnnDestroyTensorDescriptor)
SILENT(cudnnDestroyReduceTensorDescriptor)
SILENT(cudnnSetTensorNdDescriptor)
SILENT(cudnnSetReduceTensorDescriptor)
int cudnnGetReductionWorkspaceSize(void *handle, void *reduction, void *from, void *to, size_t *out) {
  (void)handle, (void)reduction, (void)from, (void)to;
  return *out = 0, SUCCESS;
}
int cudnnGetReductionIndicesSize(void *handle, void *reduction, void *from, void *to, size_t *out) {
  return cudnnGetReductionWorkspaceSize(handle, reduction, from, to, out);
}
COUNTED(cudnnReduceTensor)

/* A bias that is added after the convolution. */
COUNTED(cudnnAddTensor)

/* Made with the provider or with a convolution, and not used by it. */
#define MADE(name) \
  int name(void **out) { return *out = HANDLE, SUCCESS; }
MADE(cudnnCreateActivationDescriptor)
MADE(cudnnCreateConvolutionDescriptor)
MADE(cudnnCreateFilterDescriptor)
SILENT(cudnnDestroyActivationDescriptor)
SILENT(cudnnDestroyConvolutionDescriptor)
SILENT(cudnnDestroyFilterDescriptor)
SILENT(cudnnSetActivationDescriptor)

UNEXPECTED(cudnnActivationForward)
UNEXPECTED(cudnnBatchNormalizationForwardInference)
UNEXPECTED(cudnnBatchNormalizationForwardTraining)
UNEXPECTED(cudnnConvolutionBiasActivationForward)
UNEXPECTED(cudnnConvolutionForward)
UNEXPECTED(cudnnPoolingForward)
UNEXPECTED(cudnnSoftmaxForward)
