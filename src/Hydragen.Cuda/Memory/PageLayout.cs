using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Sizes of the page layout that <c>common.cuh</c> describes.</summary>
internal static class PageLayout
{
    /// <summary>Elements of a row of a 16-bit image.</summary>
    public static int PaddedHeadDim(int headDim) => (headDim + 15) / 16 * 16;

    /// <summary>Bytes of one head's keys and values in a page.</summary>
    public static long HeadBytes(int headDim, ElementType type) => type == ElementType.Float32
        ? 2L * KvCache.PageSize * headDim * sizeof(float)
        : 2L * KvCache.PageSize * PaddedHeadDim(headDim) * sizeof(ushort);
}
