// Starts of kernels: one function an operation, compiled for hosts and for devices.
#pragma once

#include "tdrm/gpu/attention.hpp"
#include "tdrm/gpu/head.hpp"
#include "tdrm/gpu/rows.hpp"
#include "tdrm/gpu/sums.hpp"

namespace tdrm::gpu {

void start(const GatherRows& op, Stream stream);
void start(const ScatterRows& op, Stream stream);
void start(const EmbedBackward& op, Stream stream);
void start(const RmsNorm& op, Stream stream);
void start(const RmsNormBackward& op, Stream stream);
void start(const ColumnSums& op, Stream stream);
void start(const AddPartials& op, Stream stream);
void start(const AddBias& op, Stream stream);
void start(const TurnHeads& op, Stream stream);
void start(const Gate& op, Stream stream);
void start(const GateBackward& op, Stream stream);

void start(const Attend& op, Stream stream);
void start(const AttendOnce& op, Stream stream);
void start(const AttendDelta& op, Stream stream);
void start(const AttendQueries& op, Stream stream);
void start(const AttendKeys& op, Stream stream);
void start(const AttendReduce& op, Stream stream);

void start(const LogSoftmax& op, Stream stream);
void start(const LogSoftmaxBackward& op, Stream stream);
void start(const Sample& op, Stream stream);
void start(const ReadValues& op, Stream stream);
void start(const ReadValuesBackward& op, Stream stream);

void start(const Round& op, Stream stream);
void start(const Widen& op, Stream stream);
void start(const ExactAdd& op, Stream stream);
void start(const ExactToFloat& op, Stream stream);
void start(const FastAdd& op, Stream stream);
void start(const GradientFigures& op, Stream stream);
void start(const AdamWUpdate& op, Stream stream);

}  // namespace tdrm::gpu
