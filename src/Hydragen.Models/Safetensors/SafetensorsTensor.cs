namespace Hydragen.Models;

/// <summary>One tensor of a safetensors file: validated, its bytes lie inside the file.</summary>
/// <param name="Name">Its name, any text; never a path.</param>
/// <param name="Dtype">How an element is stored.</param>
/// <param name="Shape">Extents, outermost first; empty for a scalar.</param>
/// <param name="ByteOffset">Offset of its first byte from the start of the file.</param>
/// <param name="ByteLength">Bytes: the product of <paramref name="Shape"/> times the element size.</param>
public sealed record SafetensorsTensor(string Name, SafetensorsDtype Dtype, long[] Shape, long ByteOffset, long ByteLength)
{
    /// <summary>The shape for messages, such as <c>[32000, 4096]</c>.</summary>
    public string ShapeText => $"[{string.Join(", ", Shape)}]";
}
