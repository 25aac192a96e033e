using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Sizes of the page layout that <c>common.cuh</c> describes.</summary>
internal static class PageLayout
{
    /// <summary>Elements of a row of an image that is not FP32.</summary>
    public static int PaddedHeadDim(int headDim, ElementType type) => type.IsByte() ? (headDim + 31) / 32 * 32 : (headDim + 15) / 16 * 16;

    /// <summary>Bytes of a slot's key and value of one head, without scales.</summary>
    public static int SlotBytes(int headDim, ElementType type) =>
        2 * type.SizeInBytes() * (type == ElementType.Float32 ? headDim : PaddedHeadDim(headDim, type));

    /// <summary>Bytes of one head's keys and values in a page, with their scales.</summary>
    public static long HeadBytes(int headDim, ElementType type) => (long)KvCache.PageSize * (SlotBytes(headDim, type) + 2 * type.ScaleSizeInBytes());
}
