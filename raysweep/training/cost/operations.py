"""Counts of torch's operations, which `flops.FlopMeter` applies; names lack the `_` of in-place variants.

Numbers are operations per element, summed over its elementary operations (a softmax is a maximum, a difference,
an exponential, a sum and a quotient). What torch tags as pointwise counts 1 per element of its result and needs no
entry; matrix products and the like have formulas (formulas.py). An operation in none of these lists is refused.
"""

import torch


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VIEWS = _names("""
alias as_strided detach diagonal expand permute select slice split split_with_sizes squeeze t transpose unbind unfold
unsqueeze view view_as_complex view_as_real _reshape _reshape_alias _conj _neg_view
    """)
BLANK = frozenset(_names("empty empty_like empty_permuted empty_strided new_empty new_empty_strided"))
"""Operations that return uninitialised memory."""
SHAPES = BLANK | frozenset(
    _names("""
    zeros_like ones_like full_like new_zeros new_ones new_full is_same_size
    _has_same_storage_numel _unsafe_view record_stream set sym_size sym_numel sym_stride
    _new_zeros_with_same_feature_meta
    """)
)
"""Operations that read a tensor's shape and none of its numbers, as `*_like` draws do."""
FREE = (
    SHAPES
    | frozenset(_VIEWS)
    | frozenset(f"{view}_copy" for view in _VIEWS)
    | frozenset(
        # Filling and copying.
        _names("""
        zeros ones full fill zero arange range eye scalar_tensor linspace logspace tril_indices triu_indices
        _efficientzerotensor resize resize_as lift lift_fresh lift_fresh_copy clone copy copy_ _to_copy _copy_from cat
        stack _chunk_cat _pin_memory constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d
        replication_pad1d replication_pad2d replication_pad3d flip roll rot90 repeat repeat_interleave tril triu
        diag_embed block_diag where masked_fill complex narrow_copy unsafe_split unsafe_split_with_sizes pixel_shuffle
        pixel_unshuffle select_backward slice_backward diagonal_backward select_scatter slice_scatter diagonal_scatter
        as_strided_scatter slice_inverse _local_scalar_dense to im2col
        broadcast_in_dim convert_element_type view_of view_of_dtype split_dim collapse collapse_view rev device_put iota
    """)
    )
    | frozenset(
        # Gathers and scatters, comparisons, sorting, look-ups.
        _names("""
        gather index index_select _unsafe_index take embedding scatter index_copy index_fill masked_select
        masked_scatter masked_scatter_backward nonzero nonzero_static sort topk kthvalue _unique _unique2 unique_dim
        unique_consecutive unique_dim_consecutive searchsorted bucketize isin count_nonzero all any equal is_set_to
        _is_all_true _is_any_true _assert_async _functional_assert_async _assert_tensor_metadata _assert_scalar
    """)
    )
)
"""Operations without arithmetic."""
SCATTERS: dict[str, int | None] = {
    "index_add": None, "scatter_add": None, "scatter_reduce": None, "index_reduce": None,
    "_unsafe_masked_index_put_accumulate": None, "index_put": 3, "_index_put_impl": 3, "_unsafe_index_put": 3, "put": 3,
}  # fmt: skip
"""One per element of the last tensor, if it is added in; the position of the argument that says whether it is."""
PER_INPUT = {
    **dict.fromkeys(
        _names("""
        sum nansum mean prod amax amin aminmax _aminmax max min argmax argmin median nanmedian mode linalg_vector_norm
        norm cumsum cumprod cummax cummin _cummax_helper _cummin_helper trace bincount
        embedding_dense_backward unfold_backward segment_reduce _segment_reduce_backward _prelu_kernel col2im
    """),
        1,
    ),
    "_weight_norm_interface": 3, "_weight_norm_interface_backward": 5, "renorm": 3,
    "linalg__powsum": 2, "glu": 2, "mse_loss": 3, "mse_loss_backward": 3, "_prelu_kernel_backward": 3,
    "smooth_l1_loss": 4, "smooth_l1_loss_backward": 4, "huber_loss": 4, "huber_loss_backward": 4,
    "logsumexp": 4, "logcumsumexp": 4, "_logcumsumexp": 4, "var": 4, "var_mean": 4, "std": 4, "std_mean": 4,
    "glu_backward": 5,
    "_softmax": 5, "_safe_softmax": 5, "_log_softmax": 5, "_softmax_backward_data": 4, "_log_softmax_backward_data": 4,
    "_fused_rms_norm": 4, "_fused_rms_norm_backward": 9,
    **dict.fromkeys(
        _names("""
        native_layer_norm native_group_norm native_batch_norm _native_batch_norm_legit
        _native_batch_norm_legit_no_training _native_batch_norm_legit_functional _batch_norm_with_update
        cudnn_batch_norm
    """),
        7,
    ),
    **dict.fromkeys(
        _names("""
        native_layer_norm_backward native_group_norm_backward native_batch_norm_backward batch_norm_backward
        cudnn_batch_norm_backward
    """),
        13,
    ),
}  # fmt: skip
"""Reductions and what is built on them, per element of the first floating-point tensor."""
PER_RESULT = {
    **dict.fromkeys(
        _names("""
        softplus_backward elu_backward hardtanh_backward hardsigmoid_backward hardswish hardswish_backward
        leaky_relu_backward softshrink_backward hardshrink_backward log_sigmoid_forward log_sigmoid_backward
        rrelu_with_noise rrelu_with_noise_functional rrelu_with_noise_backward floor_divide rand rand_like
        randn randn_like randint randint_like randperm random normal normal_functional uniform bernoulli
        exponential cauchy geometric log_normal poisson binomial multinomial _standard_gamma dropout
    """),
        1,
    ),
    "native_dropout": 2, "linalg_cross": 3, "polar": 4,
}  # fmt: skip
"""Elementwise operations that torch does not tag, random draws included, per element of the first result."""
EXITS = frozenset({
    torch.Tensor.numpy, torch.Tensor.__array__, torch.Tensor.data_ptr, torch.Tensor.tolist, torch.Tensor.__dlpack__,
})  # fmt: skip
"""Exits from torch, after which operations on the values are not seen."""
