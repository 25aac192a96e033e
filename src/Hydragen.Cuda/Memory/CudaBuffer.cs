using System.Buffers;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>Dense elements in device memory. Conversions run on the host, piece by piece.</summary>
internal sealed class CudaBuffer(CudaDevice device, ElementType elementType, long length) : DeviceBuffer(elementType, length)
{
    private const int PieceLength = 1 << 20;

    private readonly DeviceMemory _memory = device.Allocate(checked(length * elementType.SizeInBytes()));

    /// <summary>Device address of the first element.</summary>
    /// <exception cref="ObjectDisposedException">The buffer was freed.</exception>
    public nint Address => _memory.Value;

    /// <summary>Rounds to a 16-bit type.</summary>
    public static ushort ToBits(float value, ElementType type) =>
        type == ElementType.BFloat16 ? BFloat16Bits.FromSingle(value) : BitConverter.HalfToUInt16Bits((Half)value);

    /// <summary>Widens a number of a 16-bit type.</summary>
    public static float FromBits(ushort bits, ElementType type) =>
        type == ElementType.BFloat16 ? BFloat16Bits.ToSingle(bits) : (float)BitConverter.UInt16BitsToHalf(bits);

    public override void Upload(ReadOnlySpan<float> source, long offset = 0)
    {
        nint address = Range(source.Length, offset);
        if (ElementType == ElementType.Float32)
        {
            device.Upload(address, source);
            return;
        }
        ushort[] piece = ArrayPool<ushort>.Shared.Rent(Math.Min(source.Length, PieceLength));
        while (!source.IsEmpty)
        {
            Span<ushort> bits = piece.AsSpan(0, Math.Min(source.Length, PieceLength));
            for (int i = 0; i < bits.Length; i++) bits[i] = ToBits(source[i], ElementType);
            device.Upload<ushort>(address, bits);
            source = source[bits.Length..];
            address += bits.Length * sizeof(ushort);
        }
        ArrayPool<ushort>.Shared.Return(piece);
    }

    public override void Download(Span<float> destination, long offset = 0)
    {
        nint address = Range(destination.Length, offset);
        if (ElementType == ElementType.Float32)
        {
            device.Download(destination, address);
            return;
        }
        ushort[] piece = ArrayPool<ushort>.Shared.Rent(Math.Min(destination.Length, PieceLength));
        while (!destination.IsEmpty)
        {
            Span<ushort> bits = piece.AsSpan(0, Math.Min(destination.Length, PieceLength));
            device.Download(bits, address);
            for (int i = 0; i < bits.Length; i++) destination[i] = FromBits(bits[i], ElementType);
            destination = destination[bits.Length..];
            address += bits.Length * sizeof(ushort);
        }
        ArrayPool<ushort>.Shared.Return(piece);
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _memory.Dispose();
    }

    private nint Range(int count, long offset)
    {
        nint address = Address;
        if (offset < 0 || offset > Length - count)
        {
            throw new ArgumentOutOfRangeException(nameof(offset), offset,
                $"Elements {offset} to {offset + count - 1} are not all inside a buffer of {Length}.");
        }
        return address + (nint)(offset * ElementType.SizeInBytes());
    }
}
