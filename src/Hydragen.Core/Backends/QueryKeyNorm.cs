namespace Hydragen.Core;

/// <summary>RMS norms of each query and key head before the rotation (Qwen-3).</summary>
/// <param name="QueryWeight">FP32 <c>[headDim]</c>.</param>
/// <param name="KeyWeight">FP32 <c>[headDim]</c>.</param>
/// <param name="Epsilon">Added to the mean square.</param>
public sealed record QueryKeyNorm(DeviceBuffer QueryWeight, DeviceBuffer KeyWeight, float Epsilon);
