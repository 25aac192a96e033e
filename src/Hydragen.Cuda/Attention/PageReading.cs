using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>How the kernels read pages of a kind.</summary>
/// <param name="Type">Type of keys and values.</param>
/// <param name="VectorsPerItem">For each <see cref="ItemClass"/>, how many vectors an item may have.</param>
/// <param name="IsScalar">Whether everything is computed by the scalar kernel.</param>
internal readonly record struct PageReading(ElementType Type, int[] VectorsPerItem, bool IsScalar)
{
    // How fast nodes over bytes are beside those over 16-bit types (measured on an H200).
    private const double ByteNodeShare = 0.55;

    /// <summary>Bytes of a head's page.</summary>
    public double BytesPerPage(AttentionShape shape) => PageLayout.HeadBytes(shape.HeadDim, Type);

    /// <summary>Seconds that a block of the node kernel needs for a page.</summary>
    public double NodeSeconds(AttentionShape shape, DeviceRates rates) =>
        4.0 * KvCache.PageSize * shape.HeadDim * VectorsPerItem[(int)ItemClass.WideNode] / (Type.IsByte() ? ByteNodeShare * rates.Flops : rates.Flops);
}
