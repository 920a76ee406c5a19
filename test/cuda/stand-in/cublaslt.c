/* libcublasLt: the provider makes a handle, and our programs ask for nothing more. */
#include "card.h"

int cublasLtCreate(void **out) { return *out = HANDLE, SUCCESS; }
SILENT(cublasLtDestroy)

UNEXPECTED(cublasLtMatmul)
UNEXPECTED(cublasLtMatmulAlgoConfigSetAttribute)
UNEXPECTED(cublasLtMatmulAlgoGetHeuristic)
UNEXPECTED(cublasLtMatmulAlgoInit)
UNEXPECTED(cublasLtMatmulDescCreate)
UNEXPECTED(cublasLtMatmulDescDestroy)
UNEXPECTED(cublasLtMatmulDescSetAttribute)
UNEXPECTED(cublasLtMatmulPreferenceCreate)
UNEXPECTED(cublasLtMatmulPreferenceDestroy)
UNEXPECTED(cublasLtMatmulPreferenceSetAttribute)
UNEXPECTED(cublasLtMatrixLayoutCreate)
UNEXPECTED(cublasLtMatrixLayoutDestroy)
UNEXPECTED(cublasLtMatrixLayoutSetAttribute)
UNEXPECTED(cublasLtMatrixTransform)
UNEXPECTED(cublasLtMatrixTransformDescCreate)
UNEXPECTED(cublasLtMatrixTransformDescDestroy)
