using System.Buffers.Binary;
using System.Text;

namespace Hydragen.Models.Tests;

/// <summary>The malformed-file catalogue for safetensors: every entry is accepted or refused with one typed exception.</summary>
public sealed class SafetensorsHeaderTests
{
    private const string One = """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";

    private static string Tensor(string fields) => $$$"""{"a":{{{{fields}}}}}""";

    [Theory]
    [InlineData(One, 8)]
    [InlineData("{}", 0)]
    [InlineData(" \t\r\n" + One, 8)]
    [InlineData(One + " \t\r\n", 8)]
    [InlineData("""{"__metadata__":{},"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}""", 8)]
    [InlineData("""{"__metadata__":{"format":"pt","":""}}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}""", 4)]
    [InlineData("""{"a":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}}""", 0)]
    [InlineData("""{"a":{"dtype":"F32","shape":[0,9223372036854775807],"data_offsets":[0,0]}}""", 0)]
    [InlineData("""{"b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]},"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}}""", 8)]
    [InlineData("""{"z":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},"y":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8)]
    [InlineData("""{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 1)]
    [InlineData("""{"../x\u0000\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 1)]
    [InlineData("""{"\u00e9":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e\u0301":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2)]
    [InlineData("""{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}""", 1)]
    [InlineData("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"comment":{"x":[1,{"y":null}]}}}""", 8)]
    public void Well_formed_headers_are_accepted(string header, int dataLength)
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = RawSafetensors.Open(folder, RawSafetensors.Bytes(header, dataLength));
        Assert.Equal(dataLength, file.Tensors.Values.Sum(tensor => tensor.ByteLength));
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("17")]
    [InlineData("\"text\"")]
    [InlineData("null")]
    [InlineData("{}{}")]
    [InlineData("{} x")]
    [InlineData("{}\0")]
    [InlineData("\uFEFF{}")]
    [InlineData("{\"__metadata__\":17}")]
    [InlineData("{\"__metadata__\":null}")]
    [InlineData("{\"__metadata__\":{\"a\":17}}")]
    [InlineData("{\"__metadata__\":{\"a\":null}}")]
    [InlineData("{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}")]
    [InlineData("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}")]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}")]
    [InlineData("{\"__metadata__\":{},\"\\u005f_metadata__\":{}}")]
    [InlineData("{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"a\":{\"\\ud800\":0,\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"a\":{\"dtype\":\"\\ud800\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"a\":17}")]
    [InlineData("{\"a\":null}")]
    [InlineData("{\"a\":[]}")]
    [InlineData("{")]
    [InlineData("{\"a\"")]
    public void Headers_of_the_wrong_kind_are_refused(string header) => AssertRefused(RawSafetensors.Bytes(header, 0));

    [Theory]
    [InlineData("""  "dtype":"F32","shape":[2]  """)]
    [InlineData("""  "dtype":"F32","data_offsets":[0,8]  """)]
    [InlineData("""  "shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":17,"shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F31","shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"f32","shape":[2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F4","shape":[17],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":2,"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[-2],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[-0],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2.0],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2e0],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":["2"],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[[2]],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[null],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[4611686018427387904,2,0],"data_offsets":[0,0]  """)]
    [InlineData("""  "dtype":"F32","shape":[2305843009213693952],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[8,0]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[0,0]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[-8,0]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[0,8.5]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[0,8,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[18446744073709551616,18446744073709551624]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[9223372036854775799,9223372036854775807]  """)]
    [InlineData("""  "dtype":"F32","shape":[2],"data_offsets":[8,16]  """)]
    [InlineData("""  "dtype":"F32","shape":[1],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"F32","shape":[3],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"U8","shape":[7],"data_offsets":[0,8]  """)]
    [InlineData("""  "dtype":"U8","shape":[9],"data_offsets":[0,8]  """)]
    public void Entries_that_contradict_themselves_or_the_file_are_refused(string fields) =>
        AssertRefused(RawSafetensors.Bytes(Tensor(fields), 8));

    [Theory]
    [InlineData("[0,4]", "[0,4]", 4)]
    [InlineData("[0,4]", "[0,4]", 8)]
    [InlineData("[0,4]", "[3,7]", 7)]
    [InlineData("[0,4]", "[5,9]", 9)]
    [InlineData("[1,5]", "[5,9]", 9)]
    [InlineData("[0,4]", "[4,8]", 9)]
    [InlineData("[0,4]", "[4,8]", 6)]
    public void Tensors_that_overlap_or_leave_holes_are_refused(string first, string second, int dataLength) => AssertRefused(RawSafetensors.Bytes(
        $$$"""{"a":{"dtype":"F32","shape":[1],"data_offsets":{{{first}}}},"b":{"dtype":"F32","shape":[1],"data_offsets":{{{second}}}}}""", dataLength));

    [Fact]
    public void A_zero_size_tensor_inside_another_is_refused() => AssertRefused(RawSafetensors.Bytes(
        """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}""", 8));

    [Theory]
    [InlineData("a", "a")]
    [InlineData("a", "\\u0061")]
    public void Duplicate_tensor_names_are_refused(string first, string second) => AssertRefused(RawSafetensors.Bytes(
        $$$"""{"{{{first}}}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"{{{second}}}":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", 2));

    [Fact]
    public void Invalid_utf8_in_a_name_is_refused()
    {
        byte[] header = Encoding.UTF8.GetBytes(One);
        header[2] = 0xFF;
        AssertRefused(RawSafetensors.Bytes(header, 8));
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(1UL)]
    [InlineData(100_000_001UL)]
    [InlineData(1UL << 63)]
    [InlineData(ulong.MaxValue)]
    [InlineData(ulong.MaxValue - 7)]
    [InlineData(55UL + 9)]
    [InlineData(55UL + 1008)]
    public void Header_lengths_that_the_file_cannot_hold_are_refused(ulong length)
    {
        byte[] bytes = RawSafetensors.Bytes(One, 8);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
        AssertRefused(bytes);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("\u00FF")]
    public void One_byte_headers_are_refused(string header) => AssertRefused(RawSafetensors.Bytes(Encoding.Latin1.GetBytes(header), 0));

    [Theory]
    [InlineData(65)]
    [InlineData(10_000)]
    [InlineData(1_000_000)]
    public void Deep_nesting_is_refused_without_exhausting_the_stack(int depth)
    {
        AssertRefused(RawSafetensors.Bytes(new string('[', depth), 0));
        AssertRefused(RawSafetensors.Bytes("{\"a\":{\"x\":" + new string('[', depth), 0));
        AssertRefused(RawSafetensors.Bytes("{\"a\":{\"x\":" + string.Concat(Enumerable.Repeat("{\"y\":", depth)), 0));
    }

    [Fact]
    public void A_thousand_dimensions_are_refused() => AssertRefused(RawSafetensors.Bytes(
        $$$"""{"a":{"dtype":"U8","shape":[{{{string.Join(',', Enumerable.Repeat(1, 1000))}}}],"data_offsets":[0,1]}}""", 1));

    [Fact]
    public void A_name_of_a_megabyte_is_accepted()
    {
        using var folder = new TemporaryFolder();
        string name = new('n', 1 << 20);
        using SafetensorsFile file = RawSafetensors.Open(
            folder, RawSafetensors.Bytes($$$"""{"{{{name}}}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}""", 1));
        Assert.Equal(name, Assert.Single(file.Tensors).Key);
    }

    [Fact]
    public void A_header_cut_at_any_byte_is_refused()
    {
        byte[] whole = RawSafetensors.Bytes("""{"__metadata__":{"k":"v"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}} """, 12);
        for (int length = 0; length < whole.Length; length++) AssertRefused(whole[..length]);
    }

    [Fact]
    public void A_flipped_bit_gives_a_readable_file_or_the_typed_exception()
    {
        using var folder = new TemporaryFolder();
        byte[] whole = RawSafetensors.Bytes("""{"__metadata__":{"k":"v"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}""", 16);
        int numRefused = 0, numAccepted = 0;
        for (int bit = 0; bit < (whole.Length - 16) * 8; bit++)
        {
            byte[] flipped = (byte[])whole.Clone();
            flipped[bit / 8] ^= (byte)(1 << (bit % 8));
            try
            {
                using SafetensorsFile file = RawSafetensors.Open(folder, flipped);
                foreach (SafetensorsTensor tensor in file.Tensors.Values) file.Read(tensor, 0, new byte[tensor.ByteLength]);
                numAccepted++;
            }
            catch (ModelFormatException)
            {
                numRefused++;
            }
        }
        Assert.True(numRefused > numAccepted && numAccepted > 0, $"{numRefused} refused, {numAccepted} accepted");
    }

    [Fact]
    public void Random_edits_give_a_readable_file_or_the_typed_exception()
    {
        using var folder = new TemporaryFolder();
        var random = new Random(20260514);
        byte[] whole = RawSafetensors.Bytes("""{"__metadata__":{"k":"v\u00e9"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}""", 16);
        byte[] symbols = "{}[]\",:0123456789-.eE\\utrn \0\u007f"u8.ToArray();
        int numRefused = 0;
        for (int round = 0; round < 3000; round++)
        {
            var bytes = new List<byte>(whole);
            for (int edits = random.Next(1, 4); edits > 0; edits--)
            {
                int at = random.Next(8, bytes.Count - 16);
                int kind = random.Next(3);
                if (kind == 0) bytes.RemoveAt(at);
                else if (kind == 1) bytes.Insert(at, symbols[random.Next(symbols.Length)]);
                else bytes[at] = symbols[random.Next(symbols.Length)];
            }
            byte[] edited = [.. bytes];
            BinaryPrimitives.WriteInt64LittleEndian(edited, edited.Length - 24);
            try
            {
                using SafetensorsFile file = RawSafetensors.Open(folder, edited);
                foreach (SafetensorsTensor tensor in file.Tensors.Values) file.Read(tensor, 0, new byte[tensor.ByteLength]);
            }
            catch (ModelFormatException)
            {
                numRefused++;
            }
        }
        Assert.InRange(numRefused, 2000, 2999);
    }

    [Fact]
    public void The_message_names_file_tensor_and_offset()
    {
        using var folder = new TemporaryFolder();
        var e = Assert.Throws<ModelFormatException>(() => RawSafetensors.Open(
            folder, RawSafetensors.Bytes("""{"layer.weight":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8)));
        Assert.Contains("test.safetensors", e.Message, StringComparison.Ordinal);
        Assert.Contains("layer.weight", e.Message, StringComparison.Ordinal);
        Assert.Matches("file byte [0-9]+", e.Message);
        Assert.EndsWith("test.safetensors", e.File, StringComparison.Ordinal);
    }

    internal static void AssertRefused(byte[] content)
    {
        using var folder = new TemporaryFolder();
        Assert.Throws<ModelFormatException>(() => RawSafetensors.Open(folder, content).Dispose());
    }
}
