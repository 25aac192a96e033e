using System.Buffers.Binary;
using System.Text;

namespace Hydragen.Models.Tests;

/// <summary>Memory stays bounded whatever a header claims. Every header here is hostile or near a limit of the format.</summary>
public sealed class SafetensorsLimitTests
{
    private const long MaxAllocatedBytes = 64 << 20;

    [Fact]
    public void The_longest_header_is_accepted_and_one_byte_more_is_refused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("long.safetensors");
        Write(path, SafetensorsFile.MaxHeaderBytes, [("{}", 1), (" ", SafetensorsFile.MaxHeaderBytes - 2)], 0);
        AssertBounded(path, isRefused: false);
        Write(path, SafetensorsFile.MaxHeaderBytes + 1, [("{}", 1), (" ", SafetensorsFile.MaxHeaderBytes - 1)], 0);
        AssertBounded(path, isRefused: true);
    }

    [Theory]
    [InlineData("{\"", "x", "")]
    [InlineData("{\"", "\\u0061", "")]
    [InlineData("{\"a\":{\"x\":", "9", "")]
    [InlineData("{\"a\":{\"shape\":[", "0,", "")]
    [InlineData("{\"a\":{\"x\":[", "0,", "")]
    [InlineData("{\"a\":{\"x\":[", "[],", "")]
    [InlineData("{\"__metadata__\":{\"a\":\"", "x", "")]
    [InlineData(" ", " ", "")]
    [InlineData("{", " ", "")]
    [InlineData("{\"a\":{},", " ", "")]
    [InlineData("{\"__metadata__\":{\"a\":\"b\",", " ", "")]
    [InlineData("{}", " ", "x")]
    [InlineData("", "[", "")]
    [InlineData("", "{\"a\":", "")]
    public void Repetitions_that_fill_the_header_are_refused_in_bounded_memory(string start, string repeated, string end)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("repeated.safetensors");
        long count = (90_000_000 - start.Length - end.Length) / repeated.Length;
        Write(path, start.Length + count * repeated.Length + end.Length, [(start, 1), (repeated, count), (end, 1)], 8);
        AssertBounded(path, isRefused: true);
    }

    [Theory]
    [InlineData("\"{0}\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}},", 1_500_000)]
    [InlineData("\"{0}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},", 1_500_000)]
    [InlineData("\"{0}\":{{\"dtype\":\"U8\",\"shape\":[1000000],\"data_offsets\":[0,1000000]}},", 100_000)]
    [InlineData("\"{0}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":{{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}},", 65_000)]
    public void Floods_of_tensors_are_refused_in_bounded_memory(string entry, int count)
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("flood.safetensors");
        CompositeFormat format = CompositeFormat.Parse(entry);
        var header = new StringBuilder("{");
        for (int i = 0; i < count && header.Length < 90_000_000; i++) header.AppendFormat(null, format, i);
        header.Append("\"last\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}");
        Write(path, header.Length, [(header.ToString(), 1)], 8);
        AssertBounded(path, isRefused: true);
    }

    [Fact]
    public void Floods_of_metadata_are_refused_in_bounded_memory()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("flood.safetensors");
        foreach (int numEntries in new[] { 60_000, 1_000_000 })
        {
            var header = new StringBuilder("{\"__metadata__\":{");
            for (int i = 0; i < numEntries; i++) header.Append('"').Append(i).Append("\":\"").Append('v', 60).Append("\",");
            header.Length--;
            header.Append("}}x");
            Write(path, header.Length, [(header.ToString(), 1)], 0);
            AssertBounded(path, isRefused: true);
        }
    }

    [Fact]
    public void A_sparse_terabyte_is_opened_or_refused_in_bounded_memory()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("sparse.safetensors");
        const string Header = """{"a":{"dtype":"U8","shape":[1099511627776],"data_offsets":[0,1099511627776]}}""";
        Write(path, Header.Length, [(Header, 1)], 0);
        AssertBounded(path, isRefused: true);
        try
        {
            using FileStream stream = File.OpenWrite(path);
            stream.SetLength((1L << 40) + 8 + Header.Length);
        }
        catch (IOException)
        {
            return; // The file system has no sparse files of this size; the refusal above was the test.
        }
        AssertBounded(path, isRefused: false);
    }

    private static void AssertBounded(string path, bool isRefused)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        if (isRefused) Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(path).Dispose());
        else SafetensorsFile.Open(path).Dispose();
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < MaxAllocatedBytes, $"{allocated} bytes were allocated");
    }

    private static void Write(string path, long claimedLength, (string Text, long Count)[] pieces, int dataLength)
    {
        using FileStream stream = File.Create(path);
        Span<byte> length = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, claimedLength);
        stream.Write(length);
        foreach ((string text, long count) in pieces)
        {
            if (text.Length == 0) continue;
            byte[] unit = Encoding.UTF8.GetBytes(text);
            int perBlock = Math.Max(1, (1 << 20) / unit.Length);
            byte[] block = new byte[perBlock * unit.Length];
            for (int i = 0; i < perBlock; i++) unit.CopyTo(block, i * unit.Length);
            for (long left = count; left > 0; left -= perBlock) stream.Write(block.AsSpan(0, (int)Math.Min(left, perBlock) * unit.Length));
        }
        stream.Write(new byte[dataLength]);
    }
}
