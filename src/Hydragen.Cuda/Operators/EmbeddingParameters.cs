using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>The parameter of the kernel that looks up embeddings; laid out as in <c>embedding_lookup.cu</c>, where the fields are described.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct EmbeddingParameters
{
    public nint Table;
    public nint TokenIds;
    public nint Chosen;
    public nint Output;
    public int HiddenSize;
    public int Pitch;
    public float Scale;
}
