using System.Runtime.InteropServices;

namespace Hydragen.Models;

/// <summary>A tensor to write: its description and a callback that supplies its bytes piece by piece.</summary>
/// <param name="Name">Name, unique in its file.</param>
/// <param name="Dtype">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first.</param>
/// <param name="Fill">
/// Called with a byte offset from the start of the tensor and a destination to fill completely, by ascending offset; the pieces
/// are whole numbers of 8 bytes, except for the last.
/// </param>
public sealed record SafetensorsEntry(string Name, SafetensorsDtype Dtype, long[] Shape, SafetensorsEntry.FillBytes Fill)
{
    /// <summary>Supplies bytes of a tensor.</summary>
    /// <param name="byteOffset">First byte, from the start of the tensor.</param>
    /// <param name="destination">To be filled completely, little-endian.</param>
    public delegate void FillBytes(long byteOffset, Span<byte> destination);

    /// <summary>Bytes of the tensor.</summary>
    /// <exception cref="ArgumentException">An extent is negative, or the tensor takes no whole number of bytes.</exception>
    public long ByteLength
    {
        get
        {
            long bits = Dtype.SizeInBits();
            foreach (long extent in Shape)
            {
                if (extent < 0) throw new ArgumentException($"Tensor {Name} has the negative extent {extent}.");
                bits = checked(bits * extent);
            }
            if (bits % 8 != 0) throw new ArgumentException($"Tensor {Name} takes {bits} bits, which is no whole number of bytes.");
            return bits / 8;
        }
    }

    /// <summary>An FP32 tensor whose values lie in memory.</summary>
    /// <param name="name">Name, unique in its file.</param>
    /// <param name="shape">Extents, outermost first.</param>
    /// <param name="values">As many values as the shape has elements.</param>
    /// <exception cref="ArgumentException">The count is another.</exception>
    public static SafetensorsEntry FromSingles(string name, long[] shape, ReadOnlyMemory<float> values)
    {
        ArgumentNullException.ThrowIfNull(shape);
        long count = 1;
        foreach (long extent in shape) count = checked(count * extent);
        if (count != values.Length) throw new ArgumentException($"Tensor {name} of shape [{string.Join(", ", shape)}] has {count} elements, not {values.Length}.");
        return new SafetensorsEntry(name, SafetensorsDtype.F32, shape, (offset, destination) =>
            MemoryMarshal.AsBytes(values.Span).Slice((int)offset, destination.Length).CopyTo(destination));
    }
}
