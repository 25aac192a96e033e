using System.Buffers.Binary;
using System.Text;

namespace Hydragen.Models.Tests;

/// <summary>Builds safetensors files byte by byte, well-formed or not.</summary>
internal static class RawSafetensors
{
    public static byte[] Bytes(string header, int dataLength) => Bytes(Encoding.UTF8.GetBytes(header), dataLength);

    public static byte[] Bytes(byte[] header, int dataLength)
    {
        var bytes = new byte[8 + header.Length + dataLength];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)header.Length);
        header.CopyTo(bytes, 8);
        for (int i = 0; i < dataLength; i++) bytes[8 + header.Length + i] = (byte)i;
        return bytes;
    }

    public static SafetensorsFile Open(TemporaryFolder folder, byte[] content)
    {
        string path = folder.File("test.safetensors");
        System.IO.File.WriteAllBytes(path, content);
        return SafetensorsFile.Open(path);
    }
}
