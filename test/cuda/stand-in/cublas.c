/* libcublas: products are counted. */
#include "card.h"

int cublasCreate_v2(void **out) { return *out = HANDLE, SUCCESS; }
int cublasGetMathMode(void *handle, int *out) {
  (void)handle;
  return *out = 0, SUCCESS;
}
const char *cublasGetStatusName(int status) { return status ? "failure" : "success"; }
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }
SILENT(cublasDestroy_v2)
SILENT(cublasSetStream_v2)
SILENT(cublasSetMathMode)

COUNTED(cublasSgemm_v2)
COUNTED(cublasSgemmBatched)
COUNTED(cublasSgemmStridedBatched)
COUNTED(cublasDgemm_v2)
COUNTED(cublasDgemmBatched)
COUNTED(cublasDgemmStridedBatched)
COUNTED(cublasGemmEx)
COUNTED(cublasGemmBatchedEx)
COUNTED(cublasGemmStridedBatchedEx)
COUNTED(cublasSgeam)
COUNTED(cublasDgeam)
COUNTED(cublasScopy_v2)
COUNTED(cublasDcopy_v2)
COUNTED(cublasSscal_v2)

UNEXPECTED(cublasSgetrfBatched)
UNEXPECTED(cublasSgetriBatched)
UNEXPECTED(cublasDgetrfBatched)
UNEXPECTED(cublasDgetriBatched)
