namespace Hydragen.Core;

/// <summary>
/// The attention operator over paged keys and values, on buffers that only the backend looks into. Row-major, outermost dimension
/// first. Not thread-safe: one caller at a time; a backend uses threads inside.
/// </summary>
/// <remarks>Every operator throws <see cref="ArgumentException"/> when a buffer is too small or has an unsupported type.</remarks>
public interface IAttentionBackend : IDisposable
{
    /// <summary>One line: device and main instruction set.</summary>
    string Description { get; }

    /// <summary>The kernels in use, for people.</summary>
    IReadOnlyList<KernelChoice> Kernels { get; }

    /// <summary>Allocates a buffer, uninitialised.</summary>
    DeviceBuffer Allocate(ElementType elementType, long length);

    /// <summary>Creates a cache with room for some pages.</summary>
    KvCache CreateKvCache(KvCacheShape shape, int numPages);

    /// <summary>
    /// The type that softmax weights, at most 1 each, are rounded to before they multiply values; <see cref="ElementType.Float32"/> when
    /// they stay as they are computed. Log-sum-exps come from weights that are not rounded.
    /// </summary>
    /// <param name="queryType">Type of the queries.</param>
    /// <param name="kvType">Type of the keys and values.</param>
    ElementType WeightTypeFor(ElementType queryType, ElementType kvType);

    /// <summary>How the shared nodes of a plan are computed; by default all of them are read once.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="queryType">Type of the queries.</param>
    /// <param name="cache">Keys and values.</param>
    NodeSharing SharingOf(AttentionPlan plan, AttentionShape shape, ElementType queryType, KvCache cache) => NodeSharing.Of(plan);

    /// <summary>Attention of a plan's rows over cached keys: the segments' partial results, merged in FP32.</summary>
    /// <param name="plan">Rows and segments.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="options">Scale, biases, window and cap.</param>
    /// <param name="query"><c>[numRows, numHeads, headDim]</c>.</param>
    /// <param name="cache">Keys and values.</param>
    /// <param name="layer">Layer of the cache.</param>
    /// <param name="output">Receives <c>[numRows, numHeads, headDim]</c>; may be <paramref name="query"/>.</param>
    /// <param name="logSumExp">Receives FP32 <c>[numRows, numHeads]</c>, natural log, when given.</param>
    void Attention(
        AttentionPlan plan, AttentionShape shape, AttentionOptions options, DeviceBuffer query, KvCache cache, int layer,
        DeviceBuffer output, DeviceBuffer? logSumExp);
}
