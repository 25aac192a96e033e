using System.Runtime.InteropServices;

namespace Hydragen.Cuda;

/// <summary>What the ranks of an NCCL communicator know it by.</summary>
internal unsafe struct CollectiveId
{
    public const int NumBytes = 128;

    private fixed byte _bytes[NumBytes];

    /// <summary>The bytes, to be sent to the other ranks.</summary>
    public static byte[] ToBytes(CollectiveId id) => MemoryMarshal.AsBytes(new ReadOnlySpan<CollectiveId>(ref id)).ToArray();

    /// <summary>The id that another rank sent.</summary>
    /// <exception cref="InvalidDataException">There are more or fewer bytes.</exception>
    public static CollectiveId FromBytes(ReadOnlySpan<byte> bytes) =>
        bytes.Length == NumBytes ? MemoryMarshal.Read<CollectiveId>(bytes)
            : throw new InvalidDataException($"An NCCL id has {NumBytes} bytes, not {bytes.Length}.");
}
