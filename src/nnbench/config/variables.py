"""The environment variables that a backend may set for the process that trains."""

from __future__ import annotations

from nnbench.schema import Text

# Switches of frameworks, by name. None of them makes a process load other code.
VARIABLES = (
    "KERAS_BACKEND", "JAX_ENABLE_X64", "JAX_PLATFORMS", "TF_CPP_MIN_LOG_LEVEL",
    "TF_CUDNN_DETERMINISTIC", "TF_CUDNN_USE_AUTOTUNE", "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR",
    "TF_USE_LEGACY_KERAS", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE",
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUPY_TF32",
    "NVIDIA_TF32_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)  # fmt: skip
_FORM = rf"(?:{'|'.join(VARIABLES)})=[^\x00\n]*"
SETTING = Text(200, f"VARIABLE=VALUE, of {', '.join(VARIABLES)}", _FORM)
