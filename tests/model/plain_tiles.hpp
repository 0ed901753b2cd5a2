// bf16_attention and its kin as tiles compute them, by plain code: call them with Bf16Unit::tiles.
#pragma once

#include "tdrm/model/bf16_attention.hpp"

namespace tdrm::model::ops {

decltype(bf16_attention) plain_attention;
decltype(bf16_attention_backward) plain_attention_backward;
decltype(bf16_cached_attention) plain_cached_attention;

// The same sums by vectors alone, with Bf16Unit::tiles, too (plain_vectors.cpp).
decltype(bf16_attention) vector_attention;
decltype(bf16_attention_backward) vector_attention_backward;
decltype(bf16_cached_attention) vector_cached_attention;

}  // namespace tdrm::model::ops
