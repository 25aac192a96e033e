using System.Buffers.Binary;
using Hydragen.Core;
using Microsoft.Win32.SafeHandles;

namespace Hydragen.Models;

/// <summary>
/// A safetensors file: an 8-byte little-endian length, a JSON header, and the tensors' bytes, which tile the rest of the file
/// without hole or overlap. The header is validated completely when the file is opened; data is read by position, never mapped,
/// so that a file truncated meanwhile is an exception and not a crash. Reading is thread-safe.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    /// <summary>The longest header that the format allows.</summary>
    public const long MaxHeaderBytes = 100_000_000;

    /// <summary>The most tensors of one file, and the most metadata entries.</summary>
    public const int MaxEntries = 65_536;

    /// <summary>The most bytes of all names, metadata and shapes together, in memory.</summary>
    public const int MaxDescriptionBytes = 16 << 20;

    /// <summary>The most dimensions of one tensor.</summary>
    public const int MaxRank = 64;

    private const int LengthBytes = 8;
    private readonly SafeFileHandle? _handle;
    private readonly Dictionary<string, SafetensorsEntry>? _entries;

    private SafetensorsFile(string path, SafeFileHandle handle, SafetensorsHeader header)
    {
        Path = path;
        _handle = handle;
        Tensors = header.Tensors;
        Metadata = header.Metadata;
    }

    private SafetensorsFile(string name, IReadOnlyList<SafetensorsEntry> entries)
    {
        Path = name;
        _entries = entries.ToDictionary(static entry => entry.Name, StringComparer.Ordinal);
        var tensors = new Dictionary<string, SafetensorsTensor>(StringComparer.Ordinal);
        long offset = 0;
        foreach (SafetensorsEntry entry in entries)
        {
            long length = entry.ByteLength;
            tensors.Add(entry.Name, new SafetensorsTensor(entry.Name, entry.Dtype, entry.Shape, offset, length));
            offset = checked(offset + length);
        }
        Tensors = tensors;
        Metadata = new Dictionary<string, string>();
    }

    /// <summary>The path given to <see cref="Open"/>, or the name given to <see cref="FromEntries"/>.</summary>
    public string Path { get; }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsTensor> Tensors { get; }

    /// <summary>The entries of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and validates its header, with memory bounded by the limits of this class.</summary>
    /// <exception cref="ModelFormatException">The file is no regular file or malformed.</exception>
    /// <exception cref="IOException">It cannot be found or read.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        SafeFileHandle handle = OpenRegularFile(path, out long fileLength);
        try
        {
            if (fileLength < LengthBytes)
                throw new ModelFormatException(path, $"a safetensors file starts with {LengthBytes} bytes of header length, but the file has {fileLength} bytes");
            Span<byte> lengthBytes = stackalloc byte[LengthBytes];
            ReadExactly(path, handle, lengthBytes, 0);
            ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(lengthBytes);
            if (headerLength > MaxHeaderBytes)
                throw new ModelFormatException(path, $"the header claims {headerLength} bytes; at most {MaxHeaderBytes} are allowed");
            if (headerLength < 2)
                throw new ModelFormatException(path, $"the header claims {headerLength} bytes; a JSON object has at least 2");
            if ((long)headerLength > fileLength - LengthBytes)
                throw new ModelFormatException(path, $"the header claims {headerLength} bytes, but only {fileLength - LengthBytes} follow in the file");
            var header = new SafetensorsHeader(path, handle, (long)headerLength, fileLength);
            return new SafetensorsFile(path, handle, header);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>A file that is never written: reading a tensor calls its entry, whatever the offset and on any thread.</summary>
    /// <param name="name">Stands for the path in messages.</param>
    /// <param name="entries">The tensors; their callbacks must be thread-safe and answer any offset.</param>
    /// <exception cref="ArgumentException">A name appears twice, or a shape is invalid.</exception>
    public static SafetensorsFile FromEntries(string name, IReadOnlyList<SafetensorsEntry> entries)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(entries);
        return new SafetensorsFile(name, entries);
    }

    /// <summary>Reads bytes of a tensor, little-endian, row-major.</summary>
    /// <param name="tensor">A tensor of this file.</param>
    /// <param name="byteOffset">First byte, from the start of the tensor.</param>
    /// <param name="destination">Filled completely.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the tensor.</exception>
    /// <exception cref="ModelFormatException">The file became shorter since it was opened.</exception>
    public void Read(SafetensorsTensor tensor, long byteOffset, Span<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (byteOffset < 0 || byteOffset > tensor.ByteLength - destination.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(byteOffset), byteOffset,
                $"Tensor {tensor.Name} has {tensor.ByteLength} bytes; {destination.Length} from there on leave it.");
        }
        if (_handle is null) _entries![tensor.Name].Fill(byteOffset, destination);
        else ReadExactly(Path, _handle, destination, tensor.ByteOffset + byteOffset);
    }

    /// <summary>Reads elements of an F32, BF16 or F16 tensor, widened to FP32.</summary>
    /// <param name="tensor">A tensor of this file.</param>
    /// <param name="firstElement">First element, in row-major order.</param>
    /// <param name="destination">Filled completely.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range leaves the tensor.</exception>
    /// <exception cref="ModelFormatException">The tensor has another dtype, or the file became shorter since it was opened.</exception>
    public void ReadSingles(SafetensorsTensor tensor, long firstElement, Span<float> destination)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        if (!tensor.Dtype.TryGetElementType(out ElementType type))
            throw new ModelFormatException(Path, $"tensor '{tensor.Name}' has dtype {tensor.Dtype.FormatName()}; F32, BF16 or F16 is needed");
        int size = type.SizeInBytes();
        if (firstElement < 0 || firstElement > tensor.ByteLength / size - destination.Length)
        {
            throw new ArgumentOutOfRangeException(nameof(firstElement), firstElement,
                $"Tensor {tensor.Name} has {tensor.ByteLength / size} elements; {destination.Length} from there on leave it.");
        }
        Span<byte> piece = stackalloc byte[4096];
        while (!destination.IsEmpty)
        {
            int count = Math.Min(piece.Length / size, destination.Length);
            Read(tensor, firstElement * size, piece[..(count * size)]);
            WeightNumbers.Widen(type, piece[..(count * size)], destination);
            destination = destination[count..];
            firstElement += count;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _handle?.Dispose();

    /// <summary>
    /// Opens a file that is neither a directory nor a pipe or device. Those have no length, so they are told apart without
    /// opening them: opening a pipe would wait for its writer.
    /// </summary>
    internal static SafeFileHandle OpenRegularFile(string path, out long length)
    {
        var file = new FileInfo(path);
        if (file.LinkTarget is not null)
        {
            try
            {
                file = file.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? file;
            }
            catch (IOException e)
            {
                throw new ModelFormatException(path, "the symbolic link leads nowhere", e);
            }
        }
        if (Directory.Exists(file.FullName)) throw new ModelFormatException(path, "this is a folder, not a file");
        if (!file.Exists) throw new FileNotFoundException($"{path}: there is no such file.", path);
        if (file.Length == 0) throw new ModelFormatException(path, "the file is empty, or is no regular file");
        SafeFileHandle handle = File.OpenHandle(file.FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        try
        {
            length = RandomAccess.GetLength(handle);
            return handle;
        }
        catch (NotSupportedException e)
        {
            handle.Dispose();
            throw new ModelFormatException(path, "this is no regular file", e);
        }
    }

    /// <summary>Reads until the span is full or the file ends.</summary>
    internal static int ReadSome(SafeFileHandle handle, Span<byte> destination, long offset)
    {
        int total = 0;
        while (total < destination.Length)
        {
            int numRead = RandomAccess.Read(handle, destination[total..], offset + total);
            if (numRead == 0) break;
            total += numRead;
        }
        return total;
    }

    private static void ReadExactly(string path, SafeFileHandle handle, Span<byte> destination, long offset)
    {
        int numRead = ReadSome(handle, destination, offset);
        if (numRead < destination.Length)
            throw new ModelFormatException(path, $"the file now ends at byte {offset + numRead}, but {destination.Length} bytes from {offset} on were expected; it changed after it was opened");
    }
}
